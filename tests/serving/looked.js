/* What a reader with a keyboard, a reader of the screen aloud, or one with weak eyes would miss on
 * this page: WCAG 2.2, 1.1.1, 1.3.1, 1.4.3, 2.4.3, 2.4.6, 3.1.1, 4.1.2. Gives a list of sentences. */
() => {
  const wrong = [];
  const seen = (el) => el.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && !el.closest("[aria-hidden=true]");
  const short = (el) => `${el.tagName.toLowerCase()}#${el.id} ${(el.getAttribute("name") || el.textContent || "").trim().slice(0, 40)}`;
  const named = (el) => el.getAttribute("aria-label") || (el.labels && [...el.labels].some((l) => l.textContent.trim())) ||
    (el.getAttribute("aria-labelledby") || "").split(/\s+/).some((id) => id && document.getElementById(id)) || (el.tagName !== "INPUT" && el.tagName !== "SELECT" && el.textContent.trim());
  for (const el of document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href], progress"))
    if (seen(el) && !named(el)) wrong.push(`no name: ${short(el)}`);
  for (const el of document.querySelectorAll("fieldset")) if (seen(el) && !el.querySelector("legend")) wrong.push(`no legend: ${short(el)}`);
  for (const el of document.querySelectorAll("svg[role=img], img")) if (!named(el) && !el.alt) wrong.push(`no text: ${short(el)}`);
  for (const el of document.querySelectorAll("th")) if (!el.scope) wrong.push(`no scope: ${short(el)}`);
  for (const el of document.querySelectorAll("[tabindex]")) if (el.tabIndex > 0) wrong.push(`jumps the order: ${short(el)}`);
  const ids = [...document.querySelectorAll("[id]")].map((el) => el.id);
  for (const id of new Set(ids)) if (ids.filter((each) => each === id).length > 1) wrong.push(`twice: #${id}`);
  for (const name of ["aria-describedby", "aria-labelledby", "for"])
    for (const el of document.querySelectorAll(`[${name}]`))
      for (const id of el.getAttribute(name).split(/\s+/)) if (!document.getElementById(id)) wrong.push(`${name} leads nowhere: ${id}`);
  let level = 0;
  for (const el of document.querySelectorAll("h1, h2, h3, h4")) {
    const now = Number(el.tagName[1]);
    if (seen(el) && now > level + 1) wrong.push(`skips a heading: ${short(el)}`);
    if (seen(el)) level = now;
  }
  if (!document.documentElement.lang) wrong.push("no language");
  if (!document.title) wrong.push("no title");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("not one h1");
  if (document.querySelectorAll("main").length !== 1) wrong.push("not one main");

  const rgb = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const over = (top, under) => ({ r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1 });
  const behind = (el) => {
    const layers = [];
    for (let at = el; at; at = at.parentElement) layers.push(rgb(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), { r: 255, g: 255, b: 255, a: 1 });
  };
  const light = ({ r, g, b }) => {
    const [x, y, z] = [r, g, b].map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || ["SCRIPT", "OPTION", "NOSCRIPT"].includes(el.tagName) || el.closest(".unseen, .skip, svg, :disabled") || !seen(el)) continue;
    const style = getComputedStyle(el);
    const under = behind(el);
    const [a, b] = [light(over(rgb(style.color), under)), light(under)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const needed = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if ((a + 0.05) / (b + 0.05) < needed) wrong.push(`hard to read (${((a + 0.05) / (b + 0.05)).toFixed(2)}): ${short(el)}`);
  }
  return wrong;
}

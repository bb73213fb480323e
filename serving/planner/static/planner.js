/* What the planner's page does beyond forms and tables: it draws the fans, keeps the keyboard where
 * it was, and says what happens. Without it everything is there, in tables. */
"use strict";
(() => {
  const COLOURS = { ours: "#1f5fa8", other: "#767b84", ink: "#1d232b", line: "#e3e6ea", zero: "#d1622b" };
  const FONT = '12px system-ui, "Segoe UI", "DejaVu Sans", sans-serif';
  const drawn = [];

  const say = (text) => {
    const place = document.getElementById("said");
    if (place && text !== place.textContent) place.textContent = text;
  };

  const number = (value) => {
    if (value == null) return "–";
    const few = Math.abs(value) < 100 && !Number.isInteger(value);
    const shown = { minimumFractionDigits: few ? 1 : 0, maximumFractionDigits: few ? 1 : 0 };
    return value.toLocaleString("en-GB", shown).replace("-", "−");
  };

  const faded = (colour, share) => colour + Math.round(share * 255).toString(16).padStart(2, "0");

  /* quantiles of a band as series of the chart: two fills and the median */
  const series = (colour, dash) => {
    const edge = { stroke: "transparent", width: 0, points: { show: false } };
    const middle = { stroke: colour, width: 2, dash: dash, points: { show: false } };
    return [edge, edge, middle, edge, edge];
  };
  const fills = (first, colour, light) => [
    { series: [first + 4, first], fill: faded(colour, light) },
    { series: [first + 3, first + 1], fill: faded(colour, light * 1.5) },
  ];
  const rows = (band) => [band.p05, band.p25, band.p50, band.p75, band.p95];

  const axes = (step) => [
    { label: step, labelSize: 18, size: 30, font: FONT, labelFont: FONT, stroke: "#3d4652", grid: { show: false }, ticks: { stroke: COLOURS.line }, incrs: [1, 2, 5, 10, 20, 50, 100] },
    { size: 58, font: FONT, stroke: "#3d4652", grid: { stroke: COLOURS.line, width: 1 }, ticks: { show: false }, values: (_, at) => at.map(number) },
  ];

  /* all places first: how wide one is depends on how many there are */
  const places = (into, panels) => {
    into.replaceChildren(...panels.map((each) => {
      const box = document.createElement("div");
      const head = document.createElement("h4");
      head.textContent = each.name;
      box.append(head);
      return box;
    }));
    return panels.map((each, at) => [each, into.children[at]]);
  };

  const panel = (box, options, data, words) => {
    const reading = document.createElement("p");
    reading.className = "reading";
    const last = data[0].length - 1;
    const tell = (plot) => {
      const at = plot.cursor.idx ?? last;
      reading.textContent = words(at);
    };
    const width = () => Math.max(240, Math.floor(box.clientWidth));
    const plot = new uPlot({
      width: width(), height: 220, padding: [8, 8, 0, 0], legend: { show: false },
      cursor: { sync: { key: "weeks" }, drag: { x: false, y: false }, points: { show: false }, y: false },
      hooks: { setCursor: [tell] }, ...options,
    }, data, box);
    box.append(reading);
    reading.textContent = words(last);
    drawn.push({ plot, width });
  };

  const range = (band, at) => `${number(band.p50[at])} (${number(band.p05[at])} to ${number(band.p95[at])})`;

  const drawFans = (into, said, key) => {
    const found = said.measures.find((each) => each.key === key) || said.measures[0];
    const most = Math.max(...found.base.p95, ...found.panels.flatMap((each) => each.band.p95), 0) * 1.04 || 1;
    for (const [each, box] of places(into, found.panels)) {
      const options = {
        scales: { x: { time: false }, y: { range: [0, most] } },
        axes: axes(said.step),
        series: [{}, ...series(COLOURS.other, [6, 4]), ...series(COLOURS.ours)],
        bands: [...fills(1, COLOURS.other, 0.14), ...fills(6, COLOURS.ours, 0.16)],
      };
      const data = [said.steps, ...rows(found.base), ...rows(each.band)];
      panel(box, options, data, (at) =>
        `${said.step} ${said.steps[at]}: ${range(each.band, at)}; ${said.against} ${range(found.base, at)}`);
    }
  };

  const drawGains = (into, said) => {
    const all = said.gains.flatMap((each) => [...each.band.p95, ...each.band.p05]);
    const most = Math.max(...all, 0) * 1.05 || 1;
    const least = Math.min(...all, 0) * 1.05;
    for (const [each, box] of places(into, said.gains)) {
      const options = {
        scales: { x: { time: false }, y: { range: [least, most] } },
        axes: axes(said.step),
        series: [{}, ...series(COLOURS.ours), { stroke: COLOURS.zero, width: 1.5, dash: [4, 4], points: { show: false } }],
        bands: fills(1, COLOURS.ours, 0.16),
      };
      const data = [said.steps, ...rows(each.band), said.steps.map(() => 0)];
      panel(box, options, data, (at) => `${said.step} ${said.steps[at]}: ${range(each.band, at)} thousand more`);
    }
  };

  const drawAll = () => {
    const data = document.getElementById("fans-data");
    if (!data || !window.uPlot) return;
    const said = JSON.parse(data.textContent);
    const fans = document.querySelector("[data-fans]");
    const gains = document.querySelector("[data-gains]");
    const choice = document.querySelector("[data-switch]");
    const chosen = () => (choice && choice.querySelector("input:checked") || {}).value;
    drawFans(fans, said, chosen());
    if (gains) drawGains(gains, said);
    if (choice) {
      choice.hidden = false;
      choice.addEventListener("change", () => drawFans(fans, said, chosen()));
    }
    let waiting = 0;
    window.addEventListener("resize", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => drawn.forEach(({ plot, width }) => {
        if (plot.root.isConnected) plot.setSize({ width: width(), height: 220 });
      }), 120);
    });
  };

  /* the keyboard goes on where a button led */
  const goOn = () => {
    const form = document.getElementById("form");
    const id = form && form.dataset.focus;
    const place = id && document.getElementById(id);
    if (!place) return;
    place.focus({ preventScroll: true });
    place.scrollIntoView({ block: "nearest" });
  };

  const tellProgress = () => {
    const bar = document.getElementById("bar");
    if (!bar) return;
    const share = bar.hasAttribute("value") ? Math.floor(bar.value / 25) * 25 : 0;
    say(share ? `${share} percent done` : "It is under way");
  };

  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id === "form" || document.getElementById("form") === event.detail.elt) goOn();
    tellProgress();
  });
  document.addEventListener("htmx:responseError", () => say("That did not work. Load the page again."));
  document.addEventListener("htmx:sendError", () => say("The service does not answer."));
  document.addEventListener("DOMContentLoaded", () => {
    drawAll();
    goOn();
    tellProgress();
    const link = document.querySelector("[data-link]");
    if (link) {
      link.value = location.origin + link.value;
      link.addEventListener("focus", () => link.select());
    }
  });
})();

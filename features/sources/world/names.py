"""Names: the words from which persons and companies are named, by region.

Addresses end in `.example`, which nobody can own, and telephone numbers hold 555.
"""

from __future__ import annotations

# given names and what friends say; as many in every region
GIVEN = {
    "dach": """Michael:Michi Andreas:Andi Thomas:Tom Stefan:Steff Christian:Chris Katharina:Kathi
        Elisabeth:Lisa Johanna:Hanna Alexander:Alex Maximilian:Max Susanne:Susi Sebastian:Basti
        Franziska:Franzi Jürgen:Jürg Günther:Günni Friederike:Rike Tobias:Tobi Gabriele:Gabi
        Wolfgang:Wolf Josefine:Josi""",
    "nordics": """Kristoffer:Kris Mikael:Micke Magnus:Mange Katarina:Kattis Johannes:Jonne
        Anders:Ante Gustav:Gurra Charlotte:Lotta Margareta:Greta Sebastian:Sebbe Björn:Nalle
        Håkan:Hogge Josefin:Jossan Frederik:Freddie Elisabet:Lisbet Rasmus:Rasse Birgitta:Gittan
        Viktor:Vicke Henrik:Henke Matilda:Tilda""",
    "uk": """Michael:Mike William:Bill Robert:Bob Elizabeth:Liz Katherine:Kate Thomas:Tom
        Christopher:Chris Margaret:Peggy Richard:Dick Edward:Ted Jennifer:Jenny Nicholas:Nick
        Rebecca:Becky Andrew:Andy Victoria:Vicky Anthony:Tony Samantha:Sam Gregory:Greg
        Deborah:Debbie Jonathan:Jon""",
    "france": """Frédéric:Fred Sébastien:Seb Nicolas:Nico Caroline:Caro Alexandre:Alex
        Dominique:Dom Stéphanie:Steph Jacqueline:Jacquie Maximilien:Max Valérie:Val Mathieu:Math
        Emmanuelle:Manu Grégoire:Greg Christophe:Chris Philippe:Phil Élodie:Élo Benjamin:Ben
        Véronique:Véro Antoine:Tony Gabrielle:Gaby""",
    "iberia": """Francisco:Paco José:Pepe Ignacio:Nacho Dolores:Lola Concepción:Concha
        Guadalupe:Lupe Manuel:Manolo Enrique:Quique Rosario:Charo Alejandro:Álex Isabel:Isa
        Mercedes:Merche Beatriz:Bea Joaquim:Quim Antonio:Toni Fernando:Nando Montserrat:Montse
        Rafael:Rafa Teresa:Tere Eduardo:Edu""",
    "usa": """James:Jim William:Will Joshua:Josh Patricia:Pat Barbara:Barb Jessica:Jess Matthew:Matt
        Daniel:Dan Kimberly:Kim Donald:Don Steven:Steve Benjamin:Ben Pamela:Pam Timothy:Tim
        Jeffrey:Jeff Cynthia:Cindy Zachary:Zach Theodore:Theo Abigail:Abby Nathaniel:Nate""",
}
FAMILY = {
    "dach": """Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Schäfer
        Bauer Koch Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Krüger Hartmann Lange
        Krause Lehmann Köhler Vogel Steiner Huber Keller""",
    "nordics": """Andersson Johansson Karlsson Nilsson Eriksson Larsson Olsson Persson Svensson
        Gustafsson Hansen Jensen Nielsen Pedersen Sørensen Rasmussen Lindberg Bergström Sandberg
        Virtanen Korhonen Nieminen Mäkinen Haugen Dahl Bakke Lund Strand Holm Berglund""",
    "uk": """Smith Jones Taylor Brown Williams Wilson Johnson Davies Robinson Wright Thompson Evans
        Walker White Roberts Green Hall Wood Jackson Clarke Harrison Cooper Morris Bailey Fletcher
        Marshall Bennett Hughes Foster Ellis""",
    "france": """Martin Bernard Dubois Thomas Robert Richard Petit Durand Leroy Moreau Simon Laurent
        Lefebvre Michel Garcia Bertrand Roux Vincent Fournier Morel Girard Mercier Dupont Lambert
        Bonnet François Legrand Garnier Faure Rousseau""",
    "iberia": """García Fernández González Rodríguez López Martínez Sánchez Pérez Gómez Martín
        Jiménez Ruiz Hernández Díaz Moreno Álvarez Romero Alonso Gutiérrez Navarro Torres Domínguez
        Vázquez Ramos Serrano Silva Santos Ferreira Pereira Oliveira""",
    "usa": """Miller Davis Anderson Moore Martinez Lee Harris Lewis Young Allen King Scott Nelson
        Carter Mitchell Perez Turner Phillips Campbell Parker Edwards Collins Stewart Rogers Reed
        Cook Morgan Murphy Peterson Sanders""",
}
CITIES = {
    "dach": "Berlin Hamburg München Köln Zürich Wien Stuttgart Leipzig",
    "nordics": "Stockholm Oslo København Helsinki Göteborg Bergen Aarhus Malmö",
    "uk": "London Manchester Leeds Bristol Glasgow Cardiff Sheffield Belfast",
    "france": "Paris Lyon Marseille Toulouse Nantes Lille Bordeaux Rennes",
    "iberia": "Madrid Barcelona Lisboa Valencia Porto Sevilla Bilbao Braga",
    "usa": "Chicago Boston Denver Austin Seattle Atlanta Portland Phoenix",
}
# short and long legal forms
FORMS = {
    "dach": {"GmbH": "Gesellschaft mbH", "AG": "Aktiengesellschaft"},
    "nordics": {"AB": "Aktiebolag", "AS": "Aksjeselskap"},
    "uk": {"Ltd": "Limited", "plc": "Public Limited Company"},
    "france": {"SAS": "Société par actions simplifiée", "SA": "Société anonyme"},
    "iberia": {"SL": "Sociedad Limitada", "Lda": "Limitada"},
    "usa": {"Inc": "Incorporated", "LLC": "Limited Liability Company"},
}
COUNTRY_CODES = {"dach": 49, "nordics": 46, "uk": 44, "france": 33, "iberia": 34, "usa": 1}
BUSINESSES = {
    "software": "Software Systems Data Cloud",
    "finance": "Capital Finance Insurance Credit",
    "logistics": "Logistics Freight Cargo Transport",
    "manufacturing": "Works Machines Tools Metals",
    "health": "Health Clinics Pharma Care",
    "retail": "Stores Trading Markets Fashion",
    "education": "Academy College Learning Schools",
    "public": "Services Agency Utilities Housing",
}
# a company is called by one of each: 40 * 40 * 40 names
FIRSTS = """Al Bra Cor Dal El Fal Gar Hel Is Jor Kal Lor Mar Nor Or Pel Quin Ros Sal Tor Ul Var
    Wil Xan Yar Zen Bel Cal Dor Fen Gil Hol Kor Lum Mon Nex Pol Ran Sor Tri"""
MIDDLES = """ba be bi bo da de di do fa fe fi fo ga ge gi go ka ke ki ko la le li lo ma me mi mo
    na ne ni no ra re ri ro ta te ti to"""
LASTS = """dan den din don lan len lin lon ran ren rin ron tan ten tin ton van ven vin von xa
    xia xo zar zen zon mar mer mir mor sil sal sor sun nex nix nor num bis bus"""
TITLES = {
    "student": ("Student", "Intern", "Trainee", "Working Student"),
    "staff": ("Analyst", "Engineer", "Buyer", "Specialist"),
    "manager": ("IT Manager", "Operations Manager", "Purchasing Manager", "Project Manager"),
    "director": ("Head of IT", "Director of Operations", "Head of Purchasing", "Sales Director"),
    "executive": ("Managing Director", "Chief Information Officer", "Chief Executive", "Partner"),
}
FREE_MAIL = ("freemail.example", "postbox.example", "webmail.example")
PLAIN = {"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae", "ß": "ss"}

// deno-lint-ignore-file no-unused-vars -- the scripts of the pages come after it
// What the scripts of all pages share. It stands before each of them, in one <script>.
"use strict";

// Characters of a text from a stranger that are shown.
const MAX_WORDS = 2_000;
const MAX_LINE = 300;

const byId = (id) => document.getElementById(id);

// An element with text, which is never parsed as HTML.
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// An address of this site, without the user and password that the address of the page may have: `fetch`
// refuses those.
function urlOf(path) {
  return new URL(path, location.href);
}

async function getJson(path) {
  const response = await fetch(urlOf(path));
  const body = await response.json();
  if (!response.ok) throw new Error(body.error ?? `HTTP ${response.status}`);
  return body;
}

function formatSize(octets) {
  if (octets < 1000) return `${octets} B`;
  if (octets < 1e6) return `${(octets / 1e3).toFixed(octets < 1e4 ? 1 : 0)} kB`;
  return `${(octets / 1e6).toFixed(1)} MB`;
}

function formatTime(iso) {
  const date = new Date(iso);
  return date.toDateString() === new Date().toDateString()
    ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })
    : date.toLocaleDateString([], { day: "numeric", month: "short" });
}

function timeElement(iso, text, className) {
  const time = element("time", className, text);
  time.dateTime = iso;
  return time;
}

function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

// ---- Text from strangers ----

// First what is harmless: an emoji with its joiners, a keycap, a single space of another kind between
// two visible characters. Then what is invisible or changes the order of the rest (UAX #9 §2,
// UTR #36 §2.5): controls, format characters, separators, blanks.
const HIDDEN = new RegExp(
  "(\\p{Extended_Pictographic}[\\ufe0e\\ufe0f]?[\\u{1f3fb}-\\u{1f3ff}]?" +
    "(?:\\u200d\\p{Extended_Pictographic}\\ufe0f?[\\u{1f3fb}-\\u{1f3ff}]?)*" +
    "|[0-9#*]\\ufe0f\\u20e3|(?<=\\S)[\\u00a0\\u202f\\u3000](?=\\S))" +
    "|([\\p{Cc}\\p{Cf}\\p{Co}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}" +
    "\\u00a0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u2800\\u3000])",
  "gu",
);
const NAMES = {
  "U+0009": "tab",
  "U+000A": "line feed",
  "U+000D": "carriage return",
  "U+00A0": "no-break space",
  "U+00AD": "soft hyphen",
  "U+061C": "Arabic letter mark",
  "U+200B": "zero width space",
  "U+200C": "zero width non-joiner",
  "U+200D": "zero width joiner",
  "U+200E": "left-to-right mark",
  "U+200F": "right-to-left mark",
  "U+202A": "left-to-right embedding",
  "U+202B": "right-to-left embedding",
  "U+202C": "pop directional formatting",
  "U+202D": "left-to-right override",
  "U+202E": "right-to-left override",
  "U+2060": "word joiner",
  "U+2066": "left-to-right isolate",
  "U+2067": "right-to-left isolate",
  "U+2068": "first strong isolate",
  "U+2069": "pop directional isolate",
  "U+FEFF": "zero width no-break space",
};

function codeOf(character) {
  return `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;
}

function shorten(text, most) {
  return text.length > most ? `${text.slice(0, most).toWellFormed()}…` : text;
}

// Text from a stranger in an element of its own: its direction does not affect what is around it, and
// nothing in it is hidden.
function words(text, most = MAX_WORDS) {
  const made = element("bdi");
  const whole = shorten(text, most);
  if (/^[\x20-\x7e]*$/.test(whole)) {
    made.textContent = whole;
    return made;
  }
  let from = 0;
  for (const { index, 1: harmless, 2: hidden } of whole.matchAll(HIDDEN)) {
    if (harmless) continue;
    const code = codeOf(hidden);
    const mark = element("span", "mark", code);
    mark.title = NAMES[code] ?? "an invisible character";
    made.append(whole.slice(from, index), mark);
    from = index + hidden.length;
  }
  made.append(whole.slice(from));
  return made;
}

// The same for attributes, which cannot contain elements.
function plain(text, most = MAX_LINE) {
  const safe = shorten(text, most).replace(
    HIDDEN,
    (whole, harmless) => harmless ? whole : `‹${codeOf(whole)}›`,
  );
  return `\u2068${safe}\u2069`;
}

// Asks before deleting something; `act` is called on yes.
function ask(title, text, answer, act) {
  const dialog = byId("ask");
  byId("ask-title").replaceChildren(...title);
  byId("ask-text").textContent = text;
  byId("ask-yes").textContent = answer;
  byId("ask-yes").onclick = () => {
    dialog.close();
    act();
  };
  dialog.showModal();
}
byId("ask-no").addEventListener("click", () => byId("ask").close());

function setLive(state, text) {
  byId("live").dataset.state = state;
  byId("live").title = text;
  byId("live").firstElementChild.textContent = text;
}

/** Bodies of From and Sender fields made to be read in more than one way. */
import { Random } from "../../fuzz/engine/random.ts";

/** Addresses that an account may send as. */
export const ALLOWED = ["ann@sender.example", "bea@sender.example"];
/** Addresses that it may not send as. */
const OTHERS = ["boss@corp.example", "ceo@corp.example", "b@c"];

const WORDS = [
  "Ann",
  "Doe, John",
  "EXAMPLE\\scanner",
  'Brian "Guzman',
  "Dr.",
  "Büro",
  "a",
  "via x",
];
const SIGNS = [
  ..."\"<>()[],;:@\\.= \t?_-*%'`|/#&!~+^{}$".split(""),
  ...'\r\n |\r\n\t|\x00|\x01|\x0b|\x0c|\x1b$B|\x1b(B|\x7f|\x80|\x85|\xa0|\xff|\\"|""|<>|()|:;'
    .split("|"),
  ..."=?utf-8?q?|=?utf-8?b?|?=|=40|=22|=3C|=3E|=2C|\\@|\\\\|, |; |: | <|> |> <".split("|"),
  // Halves and wholes of characters of Shift JIS, GBK and UTF-8 with octets that look like delimiters.
  ..."\x83\x5c|\x83\x40|\x81\x5b|\x81|\xe3\x82|\xc3\xbc|\xef\xbc\xa0|\xe2\x80\xae|\xe2\x80\x8b"
    .split("|"),
];

function base64(text: string): string {
  return btoa(text);
}

function encoded(text: string): string {
  return [...text].map((c) =>
    /[A-Za-z0-9]/.test(c) ? c : `=${c.charCodeAt(0).toString(16).padStart(2, "0").toUpperCase()}`
  ).join("");
}

/** An address in a form that some parsers might recognize and others not. */
function dressed(random: Random, address: string): string {
  const [local = "", domain = ""] = address.split("@");
  return random.pick([
    () => address,
    () => address,
    () => `<${address}>`,
    () => `<${address}>`,
    () => `"${address}"`,
    () => `"<${address}>"`,
    () => `"\\"<${address}>"`,
    () => `"x\\" <${address}>, \\"y"`,
    () => `(${address})`,
    () => `((x) ${address})`,
    () => `(\\) <${address}>, \\()`,
    () => `[${address}]`,
    () => `"${local}"@${domain}`,
    () => `${local}@"${domain}"`,
    () => `${local}(x)@${domain}`,
    () => `${local}@(x)${domain}`,
    () => `${address}(x)`,
    () => `(x)${address}`,
    () => `${local} @ ${domain}`,
    () => `${local}@\r\n ${domain}`,
    () => `${local} . x@${domain}`,
    () => `<@${domain},@r.example:${address}>`,
    () => `<${address}`,
    () => `${address}>`,
    () => `<<${address}>>`,
    () => `< ${address} >`,
    () => `${address}\\`,
    () => `\\${address}`,
    () => `'${address}'`,
    () => `mailto:${address}`,
    () => `x:${address};`,
    () => `"x": ${address};`,
    () => `${address}:;`,
    () => `=?utf-8?q?${encoded(address)}?=`,
    () => `=?utf-8?q?${encoded(`<${address}>`)}?=`,
    () => `=?utf-8?q?${encoded(`"${address}"`)}?=`,
    () => `=?utf-8?q?x_<${address}>?=`,
    () => `=?utf-8?q?${encoded(`x <${address}>, `)}?=`,
    () => `=?utf-8?b?${base64(`<${address}>,`)}?=`,
    () => `=?utf-8?b?${base64(address)}?=`,
    () => `"=?utf-8?b?${base64(`" <${address}>, "`)}?="`,
    () => `=?utf-7?q?${local}+AEA-${domain}?=`,
    () => `=?x?q?${address}?=`,
    () => `=?utf-8?q?${local}?==40${domain}`,
    () => `=?utf-8?q?${local}?= =?utf-8?q?=40${domain}?=`,
    () => `=?iso-2022-jp?b?${base64(`\x1b(B<${address}>`)}?=`,
    () => `=?utf-16be?b?${base64([...address].map((c) => `\0${c}`).join(""))}?=`,
    () => `=?utf-8?q?=0D=0AFrom:_${encoded(address)}?=`,
    () => `\x83\\"${address}\x83\\"`,
  ])();
}

function piece(random: Random): string {
  switch (random.below(6)) {
    case 0:
    case 1:
      return dressed(random, random.pick(random.below(3) > 0 ? ALLOWED : OTHERS));
    case 2:
      return dressed(random, random.pick(OTHERS));
    case 3:
      return random.pick(WORDS);
    default:
      return random.pick(SIGNS);
  }
}

/** Some octets are removed, doubled, exchanged or replaced. */
function mutated(random: Random, text: string): string {
  let result = text;
  for (let count = random.below(3); count > 0; count--) {
    const at = random.below(result.length + 1);
    const before = result.slice(0, at);
    const after = result.slice(at);
    result = random.pick([
      () => before + after.slice(1),
      () => before + random.pick(SIGNS) + after,
      () => before + random.pick(SIGNS) + after.slice(1),
      () => before + after.slice(0, 3) + after,
      () => after + before,
    ])();
  }
  return result;
}

/** A field body, one character per octet. */
export function fieldBody(random: Random): string {
  const shape = random.below(8);
  let body: string;
  if (shape < 3) {
    // A name, and an address that the account may send as.
    const name = shape === 0
      ? piece(random)
      : piece(random) + random.pick(["", " "]) + piece(random);
    body = `${name}${random.pick([" ", "", "\t", "\r\n "])}<${random.pick(ALLOWED)}>`;
  } else if (shape === 3) {
    body = `${random.pick(ALLOWED)}${random.pick(["", " "])}${piece(random)}`;
  } else {
    body = "";
    for (let count = 1 + random.below(5); count > 0; count--) {
      body += piece(random) + random.pick(["", " ", " ", ", ", ";", "\r\n "]);
    }
  }
  if (random.below(3) === 0) body = mutated(random, body);
  // It must stay one field, whatever it contains, and must not continue the name before it.
  return ` ${body}`.replace(/\r(?!\n[ \t])|(?<!\r)\n/g, " ").replace(
    /(?:\r\n[ \t]+)+(?=\r\n|$)/g,
    "",
  );
}

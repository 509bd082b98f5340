// Decodes charsets by their labels (RFC 2978, WHATWG Encoding): those of the runtimes' TextDecoder,
// other names that programs use for them, and a few more charsets.

import { Buffer } from "node:buffer";

/** TextDecoder's names of charsets, and other labels of each, without punctuation. */
const ALIASES: readonly (readonly [charset: string, labels: string])[] = [
  ["utf-8", "utf8mb3 utf8mb4 cp65001 65001 utf8n csutf8"],
  ["shift_jis", "cp932 932 ibm932 windows932 cp943 cp943c ibm943 ibm943c xibm943 cp942"],
  ["shift_jis", "sjiswin xmscp932 mscp932 cswindows31j windows31j mskanji sjis shiftjis"],
  ["euc-jp", "eucjp xeucjp eucjpms eucjpwin cp51932 51932 ujis"],
  ["iso-2022-jp", "iso2022jp iso2022jpms iso2022jp1 iso2022jp2 iso2022jp3 jis jis7"],
  ["iso-2022-jp", "cp50220 cp50221 cp50222 50220 50221 50222 xwindowsiso2022jp"],
  ["gbk", "cp936 936 ms936 windows936 xcp936 xmscp936 gb2312 gb231280 xgb2312"],
  ["gbk", "euccn xeuccn cngb cngb231280 gb1988 cp1386 ibm1386"],
  ["gb18030", "gb180302000 gb180302005 gb180302022 cp54936 54936"],
  ["euc-kr", "cp949 949 ms949 windows949 xwindows949 ibm949 uhc xuhc xwindowsuhc ksc5601"],
  ["euc-kr", "ksc56011987 ksc56011989 ksc56011992 ksx1001 euckr xeuckr cp51949 51949 cp1363"],
  ["big5", "cp950 950 ms950 windows950 xwindows950 big5 xbig5 big5eten big5hkscs cnbig5"],
  ["big5", "cp951 csbig5 big5e big52003"],
  ["iso-2022-kr", "iso2022kr csiso2022kr cp50225 50225"],
  ["hz-gb-2312", "hzgb2312 hz cp52936 52936"],
  ["utf-7", "utf7 unicode11utf7 csunicode11utf7 xunicode11utf7 unicode20utf7"],
  ["utf-7", "xunicode20utf7 cp65000 65000"],
  ["koi8-r", "koi8r cskoi8r koi8 cp20866 20866"],
  ["koi8-u", "koi8u koi8ru cp21866 21866"],
  ["macintosh", "macroman xmacroman mac xmac cp10000"],
  ["x-mac-cyrillic", "maccyrillic xmaccyrillic macukrainian xmacukrainian cp10007"],
  ["ibm866", "cp866 866 ibm866 dos866"],
  ["ibm437", "cp437 437 ibm437 cspc8codepage437 dos437"],
  ["ibm850", "cp850 850 ibm850 cspc850multilingual dos850 cp858 ibm858 ibm00858"],
  ["windows-1252", "ansi"],
  ["windows-874", "tis620 xtis620 cp874"],
];

/** Charsets by their labels: made for the first label that is not ASCII's. */
let charsets: ReadonlyMap<string, string> | undefined;

function aliasedCharset(label: string): string | undefined {
  charsets ??= new Map(
    ALIASES.flatMap(([charset, labels]) =>
      labels.split(" ").map((label): [string, string] => [label, charset])
    ),
  );
  return charsets.get(label);
}

/** Labels that name no charset for octets over 127; their meaning must be guessed. */
const NONE =
  /^(?:us-?ascii|ascii|ansi_x3\.4.*|iso[-_]?646.*|(?:x-)?unknown.*|default|none|binary|)$/;

/** The charset that a label names, or undefined for ASCII and for an unknown label. */
export function charsetOf(label: string): string | undefined {
  const [name = ""] = /[\w.:+-]+/.exec(label.slice(0, 100).toLowerCase()) ?? [];
  if (NONE.test(name)) return undefined;
  const plain = name.replace(/[^a-z0-9]/g, "");
  const aliased = aliasedCharset(plain);
  if (aliased !== undefined) return aliased;
  const [, windows] = /^(?:x?cp|x?ms|win|windows|xwindows|ibm)?(125[0-8])$/.exec(plain) ?? [];
  if (windows !== undefined) return `windows-${windows}`;
  const [, iso] = /^(?:cs)?(?:iso|l)?[-_ ]?8859[-_ ]?(\d{1,2})(?!\d)/.exec(name) ?? [];
  for (const charset of [name, ...(iso === undefined ? [] : [`iso-8859-${iso}`])]) {
    try {
      return new TextDecoder(charset).encoding;
    } catch {
      // Unknown to TextDecoder.
    }
  }
  return undefined;
}

/**
 * Octets as text, or undefined if they are not valid in this charset.
 *
 * @param octets one character an octet
 * @param charset as {@link charsetOf} names it
 */
export function decoded(octets: string, charset: string): string | undefined {
  switch (charset) {
    case "iso-2022-kr":
      return decoded(shiftedOut(octets), "euc-kr");
    case "hz-gb-2312":
      return decoded(withoutTildes(octets), "gbk");
    case "utf-7":
      return utf7(octets);
    case "ibm437":
    case "ibm850":
      return octets.replace(/[\x80-\xff]/g, (octet) => DOS[charset][octet.charCodeAt(0) - 128]!);
  }
  // RFC 2781 §3.3: the byte order mark at the beginning decides.
  const utf16 = charset === "utf-16le" && octets.startsWith("\xfe\xff") ? "utf-16be" : charset;
  try {
    return new TextDecoder(utf16, { fatal: true }).decode(Buffer.from(octets, "latin1"));
  } catch {
    return undefined;
  }
}

/** Shifts and escape sequences of ISO 2022; a reader without it takes them for ASCII. */
// deno-lint-ignore no-control-regex -- ESC
const ISO_2022_JP = /\x1b(?:\$[@B(]|\([IJ])/;
// deno-lint-ignore no-control-regex -- SO
const ISO_2022_KR = /\x1b\$\)C|\x0e/;

/**
 * Decodes octets without a charset: as UTF-8, because other text is hardly ever valid UTF-8; then
 * in the charsets given nearby; then as windows-1252, in which every octet is a character.
 *
 * @param octets one character an octet
 * @param nearby labels
 */
export function guessed(octets: string, nearby: readonly string[]): string {
  // deno-lint-ignore no-control-regex -- all of ASCII but shifts and escapes
  if (/^[\x00-\x0d\x10-\x1a\x1c-\x7f]*$/.test(octets)) return octets;
  const given = nearby.map(charsetOf).filter((charset) => charset !== undefined);
  const shifted = [
    ...(ISO_2022_JP.test(octets) ? ["iso-2022-jp"] : []),
    ...(ISO_2022_KR.test(octets) ? ["iso-2022-kr"] : []),
  ];
  for (const charset of [...shifted, "utf-8", ...given]) {
    const text = decoded(octets, charset);
    if (text !== undefined) return text;
  }
  return new TextDecoder("windows-1252").decode(Buffer.from(octets, "latin1"));
}

/** RFC 1557: two octets a character between SO and SI, in seven bits. */
function shiftedOut(octets: string): string {
  return octets.replaceAll("\x1b$)C", "")
    // deno-lint-ignore no-control-regex -- SO and SI
    .replace(/\x0e([^\x0f\r\n]*)\x0f?/g, (_, shifted: string) => inEightBits(shifted));
}

/** RFC 1843: two octets a character between `~{` and `~}`. */
function withoutTildes(octets: string): string {
  return octets.replace(
    /~(?:\{([^~]*)(?:~\})?|(~)|\n)/g,
    (_, shifted?: string, tilde?: string) => tilde ?? inEightBits(shifted ?? ""),
  );
}

function inEightBits(octets: string): string {
  return octets.replace(/[!-~]/g, (octet) => String.fromCharCode(octet.charCodeAt(0) | 128));
}

/** RFC 2152: UTF-16 in base64, from `+` to the first character outside of base64. */
function utf7(octets: string): string | undefined {
  let valid = true;
  const text = octets.replace(/\+([A-Za-z0-9+/]*)-?/g, (_, base64: string) => {
    if (base64 === "") return "+";
    const units = Buffer.from(base64, "base64");
    if (units.length < 2) valid = false;
    const whole = units.subarray(0, units.length - units.length % 2);
    return new TextDecoder("utf-16be").decode(whole);
  });
  return valid && !/[\x80-\xff]/.test(octets) ? text : undefined;
}

/** Octets over 127 in MS-DOS (https://www.unicode.org/Public/MAPPINGS/VENDORS/MICSFT/PC/). */
const DOS = {
  ibm437: "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
    "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\xa0",
  ibm850: "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜø£Ø×ƒáíóúñÑªº¿®¬½¼¡«»░▒▓│┤ÁÂÀ©╣║╗╝¢¥┐" +
    "└┴┬├─┼ãÃ╚╔╩╦╠═╬¤ðÐÊËÈıÍÎÏ┘┌█▄¦Ì▀ÓßÔÒõÕµþÞÚÛÙýÝ¯´\xad±‗¾¶§÷¸°¨·¹³²■\xa0",
};

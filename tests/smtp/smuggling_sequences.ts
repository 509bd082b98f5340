/**
 * What some server has taken for the end of a message's data, or might: SMTP smuggling, as SEC Consult
 * told of it in December 2023 (https://sec-consult.com/blog/detail/smtp-smuggling-spoofing-e-mails-worldwide/),
 * and what testers have tried since. CVE-2023-51764 (Postfix), CVE-2023-51765 (Sendmail) and
 * CVE-2023-51766 (Exim) are about `LF.CRLF` and `LF.LF`; Cisco's gateways made CR an end of line.
 */
export const SEQUENCES: Readonly<Record<string, string>> = {
  "LF.LF": "\n.\n",
  "LF.CRLF": "\n.\r\n",
  "LF.CR": "\n.\r",
  "CR.CR": "\r.\r",
  "CR.LF": "\r.\n",
  "CR.CRLF": "\r.\r\n",
  "CRLF.LF": "\r\n.\n",
  "CRLF.CR": "\r\n.\r",
  "CRLF.CRCRLF": "\r\n.\r\r\n",
  "CRCRLF.CRCRLF": "\r\r\n.\r\r\n",
  "LF.CRCRLF": "\n.\r\r\n",
  "LFCR.LFCR": "\n\r.\n\r",
  "LFCR.CRLF": "\n\r.\r\n",
  "LFLF.CRLF": "\n\n.\r\n",
  "CRLF.NUL CRLF": "\r\n.\0\r\n",
  "CRLF NUL.CRLF": "\r\n\0.\r\n",
  "CR NUL LF.CRLF": "\r\0\n.\r\n",
  "CRLF.CR NUL LF": "\r\n.\r\0\n",
  "NUL.NUL": "\0.\0",
  "LF.NUL LF": "\n.\0\n",
  "CRLF.SP CRLF": "\r\n. \r\n",
  "CRLF SP.CRLF": "\r\n .\r\n",
  "CRLF.TAB CRLF": "\r\n.\t\r\n",
  "CRLF..CRLF": "\r\n..\r\n",
  "CRLF..LF": "\r\n..\n",
  "VT.VT": "\v.\v",
  "FF.FF": "\f.\f",
  "NEL.NEL (Latin-1)": "\x85.\x85",
  "NEL.NEL (UTF-8)": "\xc2\x85.\xc2\x85",
  "LS.LS (UTF-8)": "\xe2\x80\xa8.\xe2\x80\xa8",
};

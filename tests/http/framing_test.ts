/** How a response's octets become a response (RFC 9112 §4 to §8), in whatever pieces they arrive. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { type Progress, ResponseReader } from "../../src/http/response_reader.ts";

const MAX_BODY = 1000;

/** Pushes pieces until the result is not "more". */
function read(pieces: readonly string[], method = "POST") {
  const reader = new ResponseReader(MAX_BODY, method);
  let progress: Progress = "more";
  for (const piece of pieces) {
    if (progress !== "more") break;
    progress = reader.push(Buffer.from(piece, "latin1"));
  }
  return { reader, progress };
}

function bodyOf(reader: ResponseReader): string {
  return Buffer.from(reader.response().body).toString("latin1");
}

interface Framing {
  readonly name: string;
  readonly response: string;
  readonly status: number;
  readonly body: string;
  readonly reusable: boolean;
  readonly method?: string;
  /** Whole only with the end of the connection. */
  readonly untilClose?: boolean;
}

const FRAMINGS: readonly Framing[] = [
  {
    name: "a Content-Length (§6.2)",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Y: z\r\n\r\nhello",
    status: 200,
    body: "hello",
    reusable: true,
  },
  {
    name: "a Content-Length of 0",
    response: "HTTP/1.1 202 Accepted\r\ncontent-length:0\r\n\r\n",
    status: 202,
    body: "",
    reusable: true,
  },
  {
    name: "chunks (§7.1)",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "5\r\nhello\r\nA\r\n, world...\r\n0\r\n\r\n",
    status: 200,
    body: "hello, world...",
    reusable: true,
  },
  {
    name: "chunks with extensions and trailers (§7.1.1, §7.1.2)",
    response: "HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n" +
      '3;a=b;c="d;e"\r\nabc\r\n02 ;x\r\nde\r\n000;last\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n',
    status: 200,
    body: "abcde",
    reusable: true,
  },
  {
    name: "chunks that hold line ends",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n0\r\r\n0\r\n\r\n",
    status: 200,
    body: "\r\n0\r",
    reusable: true,
  },
  {
    name: "no chunk at all",
    response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    status: 200,
    body: "",
    reusable: true,
  },
  {
    name: "the connection's end (§6.3 rule 8)",
    response: "HTTP/1.1 200 OK\r\nX-Y: z\r\n\r\nall of this",
    status: 200,
    body: "all of this",
    reusable: false,
    untilClose: true,
  },
  {
    name: "its status 204, which has no body (§6.3 rule 1)",
    response: "HTTP/1.1 204 No Content\r\n\r\n",
    status: 204,
    body: "",
    reusable: true,
  },
  {
    name: "its status 304, whatever length it announces (§6.3 rule 1)",
    response: "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
    status: 304,
    body: "",
    reusable: true,
  },
  {
    name: "the request's method HEAD (§6.3 rule 1)",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
    status: 200,
    body: "",
    reusable: true,
    method: "HEAD",
  },
  {
    name: "its own header behind interim answers (RFC 9110 §15.2)",
    response: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
      "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok",
    status: 202,
    body: "ok",
    reusable: true,
  },
  {
    name: "a Content-Length, on a connection that it closes (§9.6)",
    response: "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 2\r\n\r\nok",
    status: 200,
    body: "ok",
    reusable: false,
  },
  {
    name: "a Content-Length, from HTTP/1.0 (§9.3)",
    response: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    status: 200,
    body: "ok",
    reusable: false,
  },
  {
    name: "a Content-Length, from HTTP/1.0 with keep-alive (§9.3)",
    response: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    status: 200,
    body: "ok",
    reusable: true,
  },
  {
    name: "a Content-Length that is there twice, on a connection that is not kept (RFC 9110 §8.6)",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    status: 200,
    body: "ok",
    reusable: false,
  },
  {
    name: "a list of one Content-Length, on a connection that is not kept (§6.3 rule 5)",
    response: "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\t,2\r\n\r\nok",
    status: 200,
    body: "ok",
    reusable: false,
  },
  {
    name: "its status 204, with the length of a body that it cannot have (RFC 9110 §8.6)",
    response: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    status: 204,
    body: "",
    reusable: false,
  },
  {
    name: "its status 204, with chunks that it cannot have (§6.1)",
    response: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
    status: 204,
    body: "",
    reusable: false,
  },
  {
    name: "a Content-Length, on a connection that one of its Connection fields closes (§9.6)",
    response: "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nConnection: y\r\n" +
      "Content-Length: 2\r\n\r\nok",
    status: 200,
    body: "ok",
    reusable: false,
  },
  {
    name: "a Content-Length, whatever option of Connection has close in its name",
    response: "HTTP/1.1 200 OK\r\nConnection: not-close\r\nContent-Length: 2\r\n\r\nok",
    status: 200,
    body: "ok",
    reusable: true,
  },
  {
    name: "a Content-Length, from HTTP/1.0 that only names keep-alive in another word",
    response: "HTTP/1.0 200 OK\r\nConnection: no-keep-alive\r\nContent-Length: 2\r\n\r\nok",
    status: 200,
    body: "ok",
    reusable: false,
  },
  {
    name: "a status line without a reason (§4)",
    response: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    status: 200,
    body: "ok",
    reusable: true,
  },
];

describe("an HTTP response (RFC 9112)", () => {
  for (const { name, response, status, body, reusable, method, untilClose = false } of FRAMINGS) {
    it(`is framed by ${name}, wherever it is split`, () => {
      const splits = Array.from({ length: response.length }, (_, at) => [
        response.slice(0, at),
        response.slice(at),
      ]).filter((pieces) => pieces[0] !== "");
      for (const pieces of [[response], [...response], ...splits]) {
        const { reader, progress } = read(pieces, method);
        const shown = JSON.stringify(pieces);
        assert.equal(progress, untilClose ? "more" : "complete", shown);
        if (untilClose) assert.equal(reader.end(), true, shown);
        assert.equal(reader.response().status, status, shown);
        assert.equal(bodyOf(reader), body, shown);
        assert.equal(reader.reusable, reusable, shown);
      }
    });
  }

  it("has its fields by their names in lower case, white space around them left out (§5)", () => {
    const { reader } = read([
      "HTTP/1.1 429 Too Many\r\nRetry-After: \t7 \r\nRequest-ID:abc\r\nX:\r\nContent-Length: 0\r\n\r\n",
    ]);
    const { headers } = reader.response();
    assert.equal(headers.get("retry-after"), "7");
    assert.equal(headers.get("request-id"), "abc");
    assert.equal(headers.get("x"), "");
  });

  const MALFORMED: readonly (readonly [name: string, response: string])[] = [
    ["another protocol", "SSH-2.0-OpenSSH_9.9\r\n\r\n"],
    ["HTTP/2", "HTTP/2 200 OK\r\n\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
    ["a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n"],
    ["a field without a colon", "HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n"],
    ["a field without a name", "HTTP/1.1 200 OK\r\n: 5\r\n\r\n"],
    ["a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"],
    ["a length with a unit", "HTTP/1.1 200 OK\r\nContent-Length: 5 octets\r\n\r\n"],
    ["two lengths in one", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello"],
    [
      "a transfer coding that was not asked for",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
    ["no chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n"],
    [
      "a chunk size that is no number",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxy\r\n",
    ],
    [
      "a chunk longer than its size",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    ],
    [
      "a chunk size that runs over",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000000000000000\r\n",
    ],
  ];
  for (const [name, response] of MALFORMED) {
    it(`is malformed with ${name}, in one piece and in single octets`, () => {
      assert.equal(read([response]).progress, "malformed");
      assert.equal(read([...response]).progress, "malformed");
    });
  }

  const CODED = "HTTP/1.1 202 OK\r\nTransfer-Encoding: ";
  const LENGTHS = "HTTP/1.1 202 OK\r\nContent-Length: ";
  const CHUNKED = `${CODED}chunked\r\n\r\n`;
  /** Malformed, except for an unambiguous status. */
  const UNCLEAR: readonly (readonly [name: string, response: string])[] = [
    ["two lengths (§6.3)", `${LENGTHS}5\r\nContent-Length: 6\r\n\r\nhello`],
    ["the lengths 5 and 05", `${LENGTHS}5\r\nContent-Length: 05\r\n\r\nhello`],
    ["a list of two lengths", `${LENGTHS}5, 6\r\n\r\nhello`],
    ["a length and nothing behind its comma", `${LENGTHS}5,\r\n\r\nhello`],
    ["a length with a sign", `${LENGTHS}+5\r\n\r\nhello`],
    ["a length in hex", `${LENGTHS}0x5\r\n\r\nhello`],
    ["a length with an underscore", `${LENGTHS}1_0\r\n\r\nhello`],
    ["an empty length", `${LENGTHS}\r\n\r\nhello`],
    ["what is no white space to HTTP before a length", `${LENGTHS}\xa05\r\n\r\nhello`],
    ["a vertical tab before a length", `${LENGTHS}\x0b5\r\n\r\nhello`],
    ["a length and chunks (§6.1)", `${LENGTHS}5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["chunks and a length", `${CODED}chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`],
    ["a coding before the chunks", `${CODED}gzip, chunked\r\n\r\n0\r\n\r\n`],
    ["a coding behind the chunks", `${CODED}chunked, gzip\r\n\r\n0\r\n\r\n`],
    ["chunks twice over (§6.1)", `${CODED}chunked, chunked\r\n\r\n0\r\n\r\n`],
    ["two codings", `${CODED}gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["a coding with a parameter", `${CODED}chunked;q=1\r\n\r\n0\r\n\r\n`],
    ["the coding identity", `${CODED}identity\r\nContent-Length: 0\r\n\r\n`],
    ["an empty coding", `${CODED}\r\nContent-Length: 0\r\n\r\n`],
    ["a vertical tab before its coding", `${CODED}\x0bchunked\r\n\r\n0\r\n\r\n`],
    ["chunks in HTTP/1.0 (§6.1)", `${CHUNKED.replace("1.1", "1.0")}0\r\n\r\n`],
    ["a space before a colon (§5.1)", "HTTP/1.1 202 OK\r\nContent-Length : 0\r\n\r\n"],
    ["a folded line (§5.2)", `${LENGTHS}0\r\nX: a\r\n\tb: c\r\n\r\n`],
    ["a name that is none", `${LENGTHS}0\r\nX(y): a\r\n\r\n`],
    ["a line without a colon", `${LENGTHS}0\r\nHTTP/1.1 200 OK\r\n\r\n`],
    ["an empty chunk size (§7.1)", `${CHUNKED}\r\n`],
    ["a chunk size with a sign", `${CHUNKED}+5\r\nhello\r\n0\r\n\r\n`],
    ["a chunk size with 0x", `${CHUNKED}0x5\r\nhello\r\n0\r\n\r\n`],
    ["a chunk size with an underscore", `${CHUNKED}0_5\r\nhello\r\n0\r\n\r\n`],
    ["a chunk size in white space", `${CHUNKED} 5\r\nhello\r\n0\r\n\r\n`],
    ["white space behind a chunk size", `${CHUNKED}5 \r\nhello\r\n0\r\n\r\n`],
    ["a lone LF behind a chunk size (§2.2)", `${CHUNKED}5\nhello\r\n0\r\n\r\n`],
    ["a lone CR in a chunk's extension", `${CHUNKED}5;a\rb\r\nhello\r\n0\r\n\r\n`],
    ["a trailer that is no field (§7.1.2)", `${CHUNKED}0\r\nHTTP/1.1 200 OK\r\n\r\n`],
    ["a folded trailer", `${CHUNKED}0\r\nX: a\r\n b\r\n\r\n`],
  ];
  for (const [name, response] of UNCLEAR) {
    it(`has only its status with ${name}`, () => {
      for (const pieces of [[response], [...response]]) {
        const { reader, progress } = read(pieces);
        assert.equal(progress, "malformed");
        assert.equal(reader.head?.status, 202);
        assert.equal(reader.reusable, false);
        assert.equal(reader.end(), false);
        assert.notEqual(reader.fault, "");
      }
    });
  }

  it("has no status if its first line or its line ends are ambiguous", () => {
    const DOUBTFUL = [
      "HTTP/1.1 202 OK\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 202 OK\rX\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 202 OK\r\nX: a\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 202 OK\r\nX: a\rContent-Length: 5\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 202 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
      "\r\nHTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n",
      " HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1  202 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1\t202 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 202\tOK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.10 202 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\nHTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 602 OK\r\nContent-Length: 0\r\n\r\n",
      // RFC 9110 §15.2.2: no other protocol was requested; §8.6: interim responses have no body.
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
      "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nHTTP/1.1 202 OK\r\n\r\n",
      "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 202 OK\r\n\r\n",
    ];
    for (const response of DOUBTFUL) {
      for (const pieces of [[response], [...response]]) {
        const { reader, progress } = read(pieces);
        assert.equal(progress, "malformed", JSON.stringify(response));
        assert.equal(reader.head, undefined, JSON.stringify(response));
        assert.equal(reader.reusable, false);
      }
    }
  });

  it("does not take trailers for fields of its head (RFC 9110 §6.5.1)", () => {
    const { reader, progress } = read([`${CHUNKED}0\r\nRetry-After: 7\r\n\r\n`]);
    assert.equal(progress, "complete");
    assert.equal(reader.response().headers.has("retry-after"), false);
  });

  it("is malformed after endless interim responses (RFC 9110 §15.2)", () => {
    const reader = new ResponseReader(MAX_BODY, "POST");
    const interim = Buffer.from("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let octets = 0;
    while (reader.push(interim) === "more") octets += interim.length;
    assert(octets < 64 * 1024, `${octets} octets were read`);
    assert.equal(reader.head, undefined);
  });

  it("is malformed when its head or a line of its chunks never ends", () => {
    const line = "x".repeat(70 * 1024);
    assert.equal(read([`HTTP/1.1 200 OK\r\nX: ${line}`]).progress, "malformed");
    const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert.equal(read([`${chunked}5;${line}`]).progress, "malformed");
    assert.equal(read([`${chunked}0\r\nX: ${line}`]).progress, "malformed");
  });

  it("is malformed when its head is too long, even if it is complete", () => {
    const field = "X-Y: z\r\n";
    const count = Math.floor(64 * 1024 / field.length);
    const head = (fields: number) => `HTTP/1.1 202 OK\r\n${field.repeat(fields)}\r\n`;
    assert.notEqual(read([head(count - 3)]).progress, "malformed");
    const { reader, progress } = read([head(count)]);
    assert.equal(progress, "malformed");
    assert.equal(reader.head, undefined);
  });

  it("is malformed when its chunks or trailers have too much overhead", () => {
    const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const bound = 2 * 64 * 1024;
    for (const piece of [`1;${"x".repeat(1000)}\r\na\r\n`, `X-Y: ${"z".repeat(100)}\r\n`]) {
      const reader = new ResponseReader(MAX_BODY, "POST");
      reader.push(Buffer.from(chunked));
      if (piece.startsWith("X")) reader.push(Buffer.from("0\r\n"));
      let octets = 0;
      while (octets < 2 * bound && reader.push(Buffer.from(piece)) === "more") {
        octets += piece.length;
      }
      assert(octets < bound + 16 * MAX_BODY, `${octets} octets were read`);
    }
  });

  it("is too long over the limit, with each framing, and not at the limit", () => {
    const at = "x".repeat(MAX_BODY);
    const head = "HTTP/1.1 200 OK\r\n";
    for (const [body, expected] of [[at, "complete"], [at + "x", "tooLong"]] as const) {
      const { length } = body;
      assert.equal(read([`${head}Content-Length: ${length}\r\n\r\n${body}`]).progress, expected);
      const chunk = `${length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
      const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n`;
      assert.equal(read([chunked + chunk]).progress, expected);
      assert.equal(
        read([`${head}\r\n`, body]).progress,
        expected === "complete" ? "more" : "tooLong",
      );
    }
    // An announced length is enough: none of it need arrive.
    assert.equal(read([`${head}Content-Length: 99999999999\r\n\r\n`]).progress, "tooLong");
  });

  it("is incomplete when the connection ends before its length has arrived (§8)", () => {
    for (const { response, untilClose, method } of FRAMINGS) {
      if (untilClose === true) continue;
      for (let at = 0; at < response.length; at++) {
        const { reader, progress } = read(at === 0 ? [] : [response.slice(0, at)], method);
        assert.equal(progress, "more");
        assert.equal(reader.end(), false, JSON.stringify(response.slice(0, at)));
      }
    }
  });

  it("leaves no connection to reuse when more octets follow it than it has", () => {
    const { reader, progress } = read(["HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK"]);
    assert.equal(progress, "complete");
    assert.equal(reader.reusable, false);
  });

  it("leaves none either when its body is longer than its length", () => {
    const { reader, progress } = read(["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokay"]);
    assert.equal(progress, "complete");
    assert.equal(bodyOf(reader), "ok");
    assert.equal(reader.reusable, false);
  });

  it("never throws, whatever arrives", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.constantFrom(
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\n",
        "\r\n",
        "0\r\n",
        "3\r\nabc\r\n",
      ).map((text) => Buffer.from(text)),
    );
    fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const reader = new ResponseReader(MAX_BODY, "POST");
      for (const octets of pieces) {
        if (octets.length > 0 && reader.push(octets) !== "more") break;
      }
      reader.end();
      assert(reader.response().body.length <= MAX_BODY);
    }));
  });
});

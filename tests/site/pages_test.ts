/** How a page of Markdown becomes a page of the site: links, headings, tables, code, and HTML in it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  isPage,
  isPicture,
  pageAddress,
  relativeAddress,
  repositoryAddress,
  siteAddress,
} from "../../scripts/site/addresses.ts";
import { renderPage } from "../../scripts/site/markdown.ts";
import { pictureSize } from "../../scripts/site/picture_size.ts";
import { safeHtml } from "../../scripts/site/raw_html.ts";
import { Slugs } from "../../scripts/site/slug.ts";
import { sourceOf } from "./sources.ts";

const REPOSITORY = "https://git.example/owner/name";

/** A page in docs/ beside some files. */
function render(text: string, repository?: string) {
  const source = sourceOf({
    "README.md": "# Home\n",
    "docs/page.md": text,
    "docs/other.md": "# The other page\n",
    "docs/picture.svg": "<svg/>",
    "deploy/compose.yaml": "x",
    "deploy/systemd/README.md": "# systemd\n",
  });
  const titles = new Map([["docs/other.md", "The other page"]]);
  return renderPage({ source, titles, repository }, "docs/page.md");
}

const html = (text: string, repository?: string) => render(text, repository).html.trim();

describe("a link", () => {
  it("to a page of the project leads to its address, with the fragment", () => {
    assert.equal(html("[a](other.md#b)"), '<p><a href="other.html#b">a</a></p>');
    assert.equal(html("[a](../README.md)"), '<p><a href="index.html">a</a></p>');
    assert.equal(html("[a](#b)"), '<p><a href="#b">a</a></p>');
  });

  it("to a folder with a page leads to that page", () => {
    assert.match(html("[a](../deploy/systemd)"), /href="deploy\/systemd\.html"/);
    assert.match(html("[a](../deploy/systemd/)"), /href="deploy\/systemd\.html"/);
  });

  it("to another file leads to the repository", () => {
    const link = html("[a](../deploy/compose.yaml)", REPOSITORY);
    assert.equal(link, `<p><a href="${REPOSITORY}/blob/HEAD/deploy/compose.yaml">a</a></p>`);
    assert.match(html("[a](../deploy)", REPOSITORY), /name\/tree\/HEAD\/deploy"/);
  });

  it("to another file is no link if the repository is not known", () => {
    assert.equal(
      html("[`a` b](../deploy/compose.yaml)"),
      '<p><span class="file" title="In the repository: deploy/compose.yaml"><code>a</code> b</span></p>',
    );
  });

  it("to a file that does not exist is a problem", () => {
    const { problems } = render("[a](gone.md) and [b](../deploy/compose.yaml)");
    assert.deepEqual(problems, ["docs/page.md: gone.md does not exist"]);
    const odd = render('[a](%E0%A4%A) <a href="%">b</a>').problems;
    assert.deepEqual(odd.length, 2, odd.join("\n"));
    for (const problem of odd) assert.match(problem, /^docs\/page\.md: %.* does not exist$/);
  });

  it("with a file's name as its text has the page's title", () => {
    assert.equal(
      html("[other.md](other.md#b)"),
      '<p><a href="other.html#b">The other page</a></p>',
    );
  });

  it("to another site stays, and what could run a script does not", () => {
    assert.match(
      html("[a](https://example.com/?a=1&b=2)"),
      /href="https:\/\/example\.com\/\?a=1&amp;/,
    );
    assert.doesNotMatch(html("[a](javascript:alert(1))"), /href/);
    assert.doesNotMatch(html("[a](data:text/html,x)"), /href/);
  });
});

describe("a picture", () => {
  it("of the project is taken along", () => {
    const { html, pictures } = render("![A chart](picture.svg)");
    assert.match(html, /<img src="pictures\/picture\.svg" alt="A chart">/);
    assert.deepEqual(pictures, ["docs/picture.svg"]);
  });

  it("of another server is its text alone", () => {
    const button = html("[![Deploy _to_ it](https://example.com/a.svg)](https://example.com/)");
    assert.equal(button, '<p><a href="https://example.com/">Deploy to it</a></p>');
    assert.equal(html("![A](//example.com/a.png)"), "<p>A</p>");
    assert.match(
      html('<img src="https://example.com/a.png" alt="A">'),
      /^<p><img alt="A"><\/p>$|^<img alt="A">$/,
    );
    assert.deepEqual(render("![A](https://example.com/a.png)").problems, []);
  });

  it("that does not exist is a problem", () => {
    const { problems } = render("![A](gone.png)");
    assert.deepEqual(problems, ["docs/page.md: the picture gone.png does not exist"]);
  });

  it("has its size if it is PNG", () => {
    const png = new Uint8Array(24);
    const view = new DataView(png.buffer);
    view.setUint32(0, 0x89504e47);
    view.setUint32(16, 640);
    view.setUint32(20, 480);
    assert.deepEqual(pictureSize(png), { width: 640, height: 480 });
    assert.equal(pictureSize(png.subarray(0, 20)), undefined);
    assert.equal(pictureSize(new Uint8Array(24)), undefined);
  });
});

describe("HTML in a page", () => {
  const safe = (text: string) =>
    safeHtml(text, (target) => target.startsWith("javascript:") ? undefined : `/${target}`);

  it("is text, unless it is on the list", () => {
    assert.equal(safe("<script>alert(1)</script>"), "&lt;script&gt;alert(1)&lt;/script&gt;");
    assert.equal(safe('<iframe src="x">'), "&lt;iframe src=&quot;x&quot;&gt;");
    assert.equal(safe("<kbd>Esc</kbd><br/>"), "<kbd>Esc</kbd><br>");
    assert.equal(safe("a < b"), "a &lt; b");
  });

  it("keeps the attributes that are on the list, written anew", () => {
    assert.equal(
      safe(`<a href="x.md" onclick="alert(1)" style='color:red'>`),
      '<a href="/x.md">',
    );
    assert.equal(safe('<p align="center">'), '<p class="center">');
    assert.equal(safe('<a href="javascript:alert(1)">'), "<a>");
    assert.equal(safe('<img alt="&quot; onerror=&quot;x">'), '<img alt="&quot; onerror=&quot;x">');
  });

  it("with anything odd in a tag is text", () => {
    for (
      const odd of ["<a href=x>", '<a href="x"onclick="y">', '<a href="<b>">', "</br>", "</p x>"]
    ) {
      assert.doesNotMatch(safe(odd), /</, odd);
    }
    assert.equal(safe("<constructor>"), "&lt;constructor&gt;");
  });

  it("has no comments", () => {
    assert.equal(safe("a<!-- <script> -->b<!---->c"), "abc");
    assert.equal(html("<!-- table: x -->\n\ntext"), "<p>text</p>");
    assert.doesNotMatch(html("<!-- never closed <img src=x>\n\ntext"), /<!--/);
  });

  it("has its links and pictures rewritten", () => {
    const picture = html('<img src="picture.svg" alt="x">');
    assert.equal(picture, '<img src="pictures/picture.svg" alt="x">');
    assert.equal(html('<a href="other.md">a</a>'), '<p><a href="other.html">a</a></p>');
  });
});

describe("a heading", () => {
  it("has the fragment that GitHub gives it", () => {
    const slugs = new Slugs();
    const given = ["`check`: find it!", "A & B", "1. Get_it", "Über uns", "A & B"].map((text) =>
      slugs.add(text.replaceAll("`", ""))
    );
    assert.deepEqual(given, ["check-find-it", "a--b", "1-get_it", "über-uns", "a--b-1"]);
  });

  it("is a link to itself, with a name", () => {
    assert.match(
      html("# T\n\n## A `b`"),
      /<h2 id="a-b">A <code>b<\/code> <a class="anchor" href="#a-b" aria-label="Link to “A b”">#<\/a>/,
    );
  });
});

describe("a table", () => {
  it("scrolls by itself, and has no style of its own", () => {
    const table = html("# T\n\n| a | b |\n| - | -: |\n| 1 | 2 |");
    assert.match(table, /<div class="table" role="group" tabindex="0" aria-label="Table in “T”">/);
    assert.match(table, /<th scope="col" class="right">b<\/th>/);
    assert.match(table, /<td>1<\/td>\s*<td class="right">2<\/td>/);
    assert.doesNotMatch(table, /style=|data-label/);
  });

  it("of three columns and more names them in each cell, for narrow screens", () => {
    const table = html("| a | `b` | |\n| - | - | - |\n| 1 | 2 | 3 |");
    assert.match(table, /class="table stacked"/);
    assert.match(table, /<th scope="col"><code>b<\/code><\/th>\s*<td><\/td>/);
    assert.match(table, /<td data-label="a">1<\/td>\s*<td data-label="b">2<\/td>\s*<td>3<\/td>/);
  });
});

describe("code", () => {
  it("is escaped, and can be scrolled with the keyboard", () => {
    assert.match(
      html("# T\n\n```sh\na <b> && c\n```"),
      /<pre role="group" tabindex="0" aria-label="Code in “T”"><code class="language-sh">a &lt;b&gt; &amp;&amp; c/,
    );
  });

  it("in a line may be broken between words, which copying does not show", () => {
    assert.equal(html("`QUEUE_MAX_AGE a.ts`"), "<p><code>QUEUE_<wbr>MAX_<wbr>AGE a.ts</code></p>");
  });
});

describe("an address", () => {
  it("of a page follows from its file", () => {
    assert.equal(pageAddress("README.md"), "index.html");
    assert.equal(pageAddress("SECURITY.md"), "security.html");
    assert.equal(pageAddress("docs/devices/README.md"), "devices.html");
    assert.equal(pageAddress("docs/devices/hp.md"), "devices/hp.html");
    assert.equal(pageAddress("deploy/systemd/README.md"), "deploy/systemd.html");
    assert.equal(relativeAddress("deploy/systemd.html", "queue.html"), "../queue.html");
  });

  it("is that of a plain name: no file of an old tag is written elsewhere, or leads elsewhere", () => {
    for (const path of ["docs/a.md", "docs/a/b-c_1.2.md", "deploy/a/b/README.md"]) {
      assert.ok(isPage(path), path);
    }
    for (
      const name of [
        ...["../../x", "a/../../../x", "/x", "a//x", "..", ".x", "a\\..\\x", "a\nb"],
        ...["javascript:alert(1)", "#x", "?x", "%2e%2e/x", '"><script>', "a b", "a/.md"],
      ]
    ) {
      assert.ok(!isPage(`docs/${name}.md`), name);
      assert.ok(!isPicture(`docs/${name}.png`), name);
    }
    assert.ok(isPicture("docs/a/b.c.png"));
  });

  it("of the repository is that of package.json, if it is one", () => {
    const of = (url: string) => repositoryAddress(JSON.stringify({ repository: { url } }));
    assert.equal(of("git+https://git.example/owner/name.git"), REPOSITORY);
    assert.equal(of("https://git.example/owner/na.me"), "https://git.example/owner/na.me");
    assert.equal(of("git+https://git.example/REPO_OWNER/name.git"), undefined);
    assert.equal(of("javascript://git.example/owner/name"), undefined);
    assert.equal(repositoryAddress("{}"), undefined);
  });

  it("of the site ends with a slash", () => {
    assert.equal(siteAddress("https://example.com/docs"), "https://example.com/docs/");
    assert.equal(siteAddress("https://example.com"), "https://example.com/");
    for (const wrong of ["example.com", "ftp://example.com", "https://example.com/?a"]) {
      assert.throws(() => siteAddress(wrong), /is not an address/);
    }
  });
});

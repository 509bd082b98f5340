/**
 * The documentation as a site: every page of the project is there and reached by its task, every link
 * leads somewhere, nothing is asked of another server, and the same files give the same site.
 */
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe, it } from "node:test";
import { buildSite } from "../../scripts/site/build.ts";
import { isPage, pageAddress } from "../../scripts/site/addresses.ts";
import { navigationOf } from "../../scripts/site/navigation.ts";
import { titleOf } from "../../scripts/site/markdown.ts";
import { textOf } from "../../scripts/site/source.ts";
import { deadLinks, reachable, referencesOf } from "./crawl.ts";
import { ACME, editionOf, treeWith } from "./sources.ts";

const edition = treeWith(ACME);
const paths = [...edition.source.paths].filter(isPage);
const { files, problems } = buildSite([edition]);
const pages = new Map(
  [...files].filter(([name]) => name.endsWith(".html")).map(([name, html]) => [
    name,
    html as string,
  ]),
);

/** The search of a site, as assets/search.js loads it. */
function searchOf(site: ReadonlyMap<string, string | Uint8Array>) {
  const scope: {
    siteIndex?: { pages: string[][]; sections: [number, string][]; index: unknown };
  } = {};
  const script = site.get("assets/search_index.js") as string;
  new Function("globalThis", script)(scope);
  const { pages, sections, index } = scope.siteIndex!;
  const MiniSearch = createRequire(import.meta.url)("minisearch");
  const search = MiniSearch.loadJS(index, { fields: ["heading", "page", "text"] });
  return (words: string): string[] =>
    search.search(words, { boost: { heading: 5, page: 2 }, prefix: true, combineWith: "AND" })
      .map(({ id }: { id: number }) => pages[sections[id]![0]]![0]);
}

describe("the site of this project", () => {
  it("has each page", () => {
    assert.ok(paths.length > 40);
    assert.deepEqual([...pages.keys()].sort(), [...paths.map(pageAddress), "404.html"].sort());
    assert.deepEqual(problems, []);
  });

  it("has no dead link, no dead fragment, and loads no file that is missing", () => {
    assert.deepEqual(deadLinks(files), []);
  });

  it("is reached as a whole from the first page", () => {
    const reached = reachable(files, "index.html");
    assert.deepEqual([...pages.keys()].filter((name) => !reached.has(name)), ["404.html"]);
  });

  it("allows no page anything but what is its own", () => {
    for (const [name, html] of pages) {
      const [, policy] = /<meta http-equiv="Content-Security-Policy" content="([^"]+)">/.exec(
        html,
      )!;
      assert.match(policy!, /^default-src 'none'; script-src 'self'; style-src 'self';/, name);
      assert.doesNotMatch(policy!, /unsafe|https?:|\*/, name);
      // What the policy would refuse.
      assert.doesNotMatch(html, /<[a-z][^<>]* (?:style|on[a-z]+)=/, name);
      assert.doesNotMatch(html, /<style|<script>|<iframe|<form/, name);
      for (const link of referencesOf(html).loaded) assert.doesNotMatch(link, /^[a-z]+:|^\//, name);
    }
  });

  it("has one heading of the first level on each page, and the title of the page", () => {
    for (const [name, html] of pages) {
      assert.equal(html.match(/<h1/g)?.length, 1, name);
      assert.match(html, /<title>[^<]+<\/title>/, name);
    }
  });

  it("has the words in its first page's title and summary that administrators search for", () => {
    const [head] = pages.get("index.html")!.split("</head>");
    const [, title] = /<title>([^<]+)<\/title>/.exec(head!)!;
    const [, summary] = /<meta name="description" content="([^"]+)">/.exec(head!)!;
    for (const words of ["Printers", "SMTP AUTH", "basic authentication", "disabled"]) {
      assert.ok(title!.includes(words) && summary!.includes(words), words);
    }
    assert.match(summary!, /Microsoft 365/);
  });

  it("shows names of pages, not of files", () => {
    for (const [name, html] of pages) assert.doesNotMatch(html, />\S+\.md<\/a>/, name);
  });

  it("is the same when it is built again", () => {
    assert.deepEqual([...buildSite([edition]).files], [...files]);
  });
});

describe("the navigation", () => {
  const named = paths.map((path) => ({
    path,
    title: titleOf(textOf(edition.source, path)) ?? "",
    headings: [...textOf(edition.source, path).matchAll(/^#+ +(.+)$/gm)].map(([, text]) => ({
      id: text!.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-"),
    })),
  }));
  const groups = navigationOf(named);

  it("has each page under one task", () => {
    const placed = groups.flatMap((group) => group.pages);
    assert.deepEqual(placed.toSorted(), paths.toSorted());
  });

  it("goes by task, from trying it to developing it", () => {
    const labels = groups.map(({ label }) => label);
    const tasks = ["Get it", "Set up the tenant", "Connect devices", "Watch it", "Rotate secrets"];
    assert.deepEqual(labels.filter((label) => tasks.includes(label)), tasks);
    assert.equal(labels.at(-1), "Develop it");
  });

  it("finds the pages of makes by themselves, by name, the list of them first", () => {
    const page = (name: string, title: string) => ({
      path: `docs/devices/${name}.md`,
      title,
      headings: [],
    });
    const clients = { path: "docs/clients.md", title: "Connect devices", headings: [] };
    const [group] = navigationOf([
      page("zebra", "Zebra"),
      clients,
      page("acme", "Acme"),
      page("README", "Devices by make"),
    ]);
    assert.deepEqual(group!.makes.map(({ label }) => label), ["All makes", "Acme", "Zebra"]);
    assert.match(pages.get("clients.html")!, /<a href="devices\/acme.html">Acme<\/a>/);
  });

  it("marks the page, and has its task open", () => {
    const html = pages.get("queue.html")!;
    const [open] = html.match(/<details open>.*?<\/details>/)!;
    assert.match(open, /<a href="queue\.html" aria-current="page">/);
    assert.equal(html.match(/aria-current="page"/g)!.length, 1);
  });

  it("puts what it does not know under the reference", () => {
    const groups = navigationOf([
      { path: "docs/new.md", title: "New", headings: [] },
      { path: "docs/settings.md", title: "Settings", headings: [] },
    ]);
    assert.deepEqual(groups.at(-1)!.pages, ["docs/settings.md", "docs/new.md"]);
  });
});

describe("the search", () => {
  const search = searchOf(files);

  it("finds a page by its subject first", () => {
    assert.equal(search("durable queue")[0], "queue.html");
    assert.ok(search("queue").slice(0, 3).includes("queue.html"));
    assert.equal(search("troubleshooting")[0], "troubleshooting.html");
  });

  it("finds the first page by the words that administrators search for", () => {
    const found = search("SMTP AUTH basic authentication disabled printer");
    assert.ok(found.slice(0, 3).includes("index.html"), found.join());
  });

  it("finds a make, a setting, a code and the beginning of a word", () => {
    assert.equal(search("acme")[0], "devices/acme.html");
    assert.ok(search("QUEUE_MAX_AGE").includes("settings.html"));
    assert.ok(search("AADSTS7000215").includes("replies.html"));
    assert.ok(search("certif").includes("certificates.html"));
  });

  it("has an index that a telephone can load", () => {
    const index = files.get("assets/search_index.js") as string;
    assert.ok(index.length < 1_200_000, `${index.length} octets`);
  });
});

describe("the address of the site", () => {
  const small = editionOf({ "README.md": "# Home\n", "docs/a.md": "# A\n" });

  it("makes a site map and links for search engines if it is known", () => {
    const { files } = buildSite([small], "https://docs.example.com/relay/");
    const map = files.get("sitemap.xml") as string;
    assert.deepEqual(map.match(/<loc>[^<]+/g), [
      "<loc>https://docs.example.com/relay/",
      "<loc>https://docs.example.com/relay/a.html",
    ]);
    assert.match(
      files.get("a.html") as string,
      /<link rel="canonical" href="https:\/\/docs\.example\.com\/relay\/a\.html">/,
    );
  });

  it("makes no site map if it is not", () => {
    const { files } = buildSite([small]);
    assert.ok(!files.has("sitemap.xml"));
    assert.doesNotMatch(files.get("a.html") as string, /canonical/);
  });

  it("is where the page for wrong addresses looks for all it needs, however deep it is shown", () => {
    const { files } = buildSite([small], "https://docs.example.com/relay/");
    const { links, loaded } = referencesOf(files.get("404.html") as string);
    assert.ok(loaded.length > 5);
    for (const link of [...links, ...loaded]) {
      if (link !== "#content") assert.match(link, /^\/relay\//);
    }
  });
});

// The way through the pages: by task, in the order in which they are met. A page that no task names is
// under "Look it up"; what is in docs/devices/ is there by itself.

/** A page, by its path from the project's root, and its name here if it is not its title. */
type Entry = readonly [path: string, label?: string];

interface Task {
  readonly label: string;
  readonly entries: readonly Entry[];
}

/**
 * The task of a page is the first that names it. An entry with a fragment, or of a page that has its task
 * already, is a way to it from another task. What does not exist, perhaps in an older version, is left out.
 */
const TASKS: readonly Task[] = [
  {
    label: "Start here",
    entries: [
      ["README.md", "What it is"],
      ["docs/sandbox.md", "Try it: the sandbox"],
      ["docs/features.md", "What it can do"],
      ["docs/alternatives.md", "Alternatives"],
      ["docs/performance.md", "Performance"],
    ],
  },
  {
    label: "Get it",
    entries: [
      ["docs/installation.md"],
      ["docs/packages.md", "Linux packages"],
      ["deploy/systemd/README.md", "systemd"],
      ["docs/windows.md", "Windows"],
      ["deploy/kubernetes/README.md", "Kubernetes"],
      ["deploy/helm/smtp-oauth-relay/README.md", "Helm"],
      ["deploy/azure/README.md", "Azure"],
      ["deploy/homebrew/README.md", "Homebrew"],
      ["deploy/winget/README.md", "winget"],
    ],
  },
  {
    label: "Set up the tenant",
    entries: [
      ["docs/entra.md"],
      ["deploy/entra/README.md", "By script"],
      ["docs/devices_without_secrets.md"],
      ["docs/client_credentials.md", "The relay's own login"],
      ["docs/certificates.md"],
      ["docs/outbound_proxy.md", "Through a web proxy"],
      ["docs/check.md", "Check the set-up"],
    ],
  },
  {
    label: "Connect devices",
    entries: [
      ["docs/clients.md", "Printers and other devices"],
      ["docs/recipes.md", "Mail servers and programs"],
      ["docs/lookup_file.md", "Short usernames: a file"],
      ["docs/lookup_table.md", "Short usernames: a table"],
      ["docs/trusted_networks.md", "Without a login"],
      ["docs/token_logins.md", "With a token (XOAUTH2)"],
    ],
  },
  {
    label: "Migrate",
    entries: [
      ["docs/coming_from_python_relay.md", "The Python relay"],
      ["docs/coming_from_smtp2graph.md", "SMTP2Graph"],
      ["docs/coming_from_postfix.md", "A Postfix smarthost"],
    ],
  },
  {
    label: "Watch it",
    entries: [
      ["docs/operations.md", "Health, metrics, log"],
      ["docs/status_page.md", "The status page"],
      ["docs/monitoring.md", "Alerts and a dashboard"],
      ["docs/webhooks.md", "Events to a webhook"],
      ["docs/traces.md", "Traces"],
    ],
  },
  {
    label: "Rotate secrets",
    entries: [
      ["docs/rotation.md", "All of them, and when"],
      ["docs/certificates.md#renewal", "The relay's certificate"],
      ["docs/entra.md#a-new-secret-without-a-gap", "A client secret"],
      ["docs/client_credentials.md#renewal", "The relay's own credential"],
      ["docs/devices_without_secrets.md#a-new-password-for-a-device", "A device's password"],
      ["docs/queue.md#keys", "The queue's keys"],
      ["docs/entra.md#if-a-secret-is-stolen", "If a secret is stolen"],
    ],
  },
  {
    label: "High availability",
    entries: [
      ["docs/high_availability.md"],
      ["docs/queue.md", "The durable queue"],
      ["docs/queue_command.md", "Administer the queue"],
      ["docs/ways_out.md", "A second way out"],
      ["docs/proxy_protocol.md", "Behind a load balancer"],
    ],
  },
  {
    label: "Upgrade and roll back",
    entries: [
      ["docs/upgrade.md", "Upgrade"],
      ["docs/upgrade.md#go-back", "Roll back"],
      ["docs/versions.md", "What versions promise"],
      ["CHANGELOG.md", "Changelog"],
    ],
  },
  {
    label: "Questions, problems",
    entries: [
      ["docs/faq.md"],
      ["docs/troubleshooting.md"],
      ["docs/replies.md", "SMTP replies"],
      ["docs/check.md#codes", "Codes of check"],
    ],
  },
  {
    label: "Look it up",
    entries: [
      ["docs/settings.md"],
      ["docs/delivery.md", "Delivery"],
      ["docs/logins.md", "Limits on logins and mail"],
      ["docs/limits.md", "Limits on connections"],
      ["docs/replies.md", "SMTP replies"],
      ["SECURITY.md", "Security"],
    ],
  },
  {
    label: "Develop it",
    entries: [
      ["CONTRIBUTING.md"],
      ["docs/architecture.md"],
      ["docs/decisions.md"],
    ],
  },
];
const DEVICES = "docs/devices/";
const ALL_MAKES = `${DEVICES}README.md`;
const CONNECT = "Connect devices";
const REST = "Look it up";

export interface NavigationLink {
  readonly path: string;
  /** With its `#`, or empty. */
  readonly fragment: string;
  readonly label: string;
}
export interface NavigationGroup {
  readonly label: string;
  readonly links: readonly NavigationLink[];
  /** Pages of one kind below: the makes of devices. */
  readonly makes: readonly NavigationLink[];
  /** Paths of the pages that belong here, in their order. */
  readonly pages: readonly string[];
}

/** What has to be known of a page. */
interface Named {
  readonly path: string;
  readonly title: string;
  readonly headings: readonly { readonly id: string }[];
}

/** The navigation of a version that has these pages. */
export function navigationOf(pages: readonly Named[]): NavigationGroup[] {
  const named = new Map(pages.map((page) => [page.path, page]));
  const placed = new Set<string>();
  const makes = pages.filter(({ path }) => path.startsWith(DEVICES))
    .map(({ path, title }) => {
      return { path, fragment: "", label: path === ALL_MAKES ? "All makes" : title };
    })
    .sort((a, b) => order(a) - order(b) || (a.label < b.label ? -1 : 1));
  for (const { path } of makes) placed.add(path);
  const groups = TASKS.map(({ label, entries }) => {
    const own: string[] = [];
    const links = entries.flatMap(([entry, name]) => {
      const [path = "", id] = entry.split("#");
      const page = named.get(path);
      if (page === undefined) return [];
      if (id !== undefined && !page.headings.some((heading) => heading.id === id)) return [];
      if (id === undefined && !placed.has(path)) {
        placed.add(path);
        own.push(path);
      }
      return [{ path, fragment: id === undefined ? "" : `#${id}`, label: name ?? page.title }];
    });
    const below = label === CONNECT ? makes : [];
    return { label, links, makes: below, pages: [...own, ...below.map(({ path }) => path)] };
  });
  const rest = pages.filter(({ path }) => !placed.has(path));
  return groups.map((group) =>
    group.label !== REST ? group : {
      ...group,
      links: [
        ...group.links,
        ...rest.map(({ path, title }) => ({ path, fragment: "", label: title })),
      ],
      pages: [...group.pages, ...rest.map(({ path }) => path)],
    }
  ).filter(({ links }) => links.length > 0);
}

/** The list of all makes stands before them. */
function order({ path }: { readonly path: string }): number {
  return path === ALL_MAKES ? 0 : 1;
}

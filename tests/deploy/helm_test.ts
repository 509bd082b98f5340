/**
 * The chart in deploy/helm, as Helm lints and renders it: held against the program, the kustomize base, and
 * the alerts. No cluster is asked.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse, parseAllDocuments, stringify } from "yaml";
import { repositoryOf } from "../../scripts/release/repository.mjs";
import { loadSettings } from "../../src/settings/load.ts";
import { SETTINGS, type Settings } from "../../src/settings/schema.ts";
import { HELM, NO_HELM } from "../support/helm.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CHART = join(ROOT, "deploy/helm/smtp-oauth-relay");
const BASE = join(ROOT, "deploy/kubernetes/base");
const RELEASE = "smtp-relay";
const OPTIONS = { skip: NO_HELM };

// deno-lint-ignore no-explicit-any -- manifests have no types here
type Manifest = any;
type Values = Record<string, unknown>;

const work = mkdtempSync(join(tmpdir(), "relay-helm-"));
after(() => rmSync(work, { recursive: true }));

const read = (path: string) => parse(readFileSync(path, "utf8"), { version: "1.2" });
const base = (name: string): Manifest => read(join(BASE, `${name}.yaml`));

function run(...args: string[]) {
  const [program, ...first] = HELM;
  const env = { PATH: "/usr/bin:/bin", HELM_CACHE_HOME: work, HELM_CONFIG_HOME: work };
  return spawnSync(program, [...first, ...args], { encoding: "utf8", env });
}

function written(values: Values): string {
  const path = join(work, "values.yaml");
  writeFileSync(path, stringify(values));
  return path;
}

/** Objects by kind, and by name where there are several of a kind. */
function render(values: Values = {}): Map<string, Manifest> {
  const { status, stdout, stderr } = run("template", RELEASE, CHART, "-f", written(values));
  assert.equal(status, 0, stderr);
  assert.equal(stderr, "");
  return new Map(
    parseAllDocuments(stdout, { version: "1.1" }).map((document) => {
      assert.deepEqual(document.errors, []);
      const object = document.toJS();
      const suffix = object.metadata.name.slice(RELEASE.length);
      return [`${object.kind}${suffix}`, object];
    }),
  );
}

function refused(values: Values): string {
  const { status, stderr } = run("template", RELEASE, CHART, "-f", written(values));
  assert.notEqual(status, 0, JSON.stringify(values));
  return stderr;
}

/** Read by the Azure SDK, not by us: docs/settings.md. */
const OF_THE_SDK = ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_TOKEN_CREDENTIALS"];
const SECRETS = Object.entries(SETTINGS).filter(([, setting]) =>
  "secret" in setting && setting.secret
).map(([name]) => name).sort();
/** 32 octets in base64. */
const QUEUE_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

const podOf = (objects: Map<string, Manifest>): Manifest =>
  (objects.get("Deployment") ?? objects.get("StatefulSet")).spec.template.spec;

/** What the program makes of a container's environment; every value must be allowed. */
function settingsOf(objects: Map<string, Manifest>, ...warnings: RegExp[]): Settings {
  const [container] = podOf(objects).containers;
  const { data } = objects.get("ConfigMap");
  const secrets = container.env.map(({ name }: Manifest) => [
    name,
    name === "QUEUE_KEY" ? QUEUE_KEY : "a secret",
  ]);
  for (const [name, value] of Object.entries(data)) {
    assert.ok(name in SETTINGS || OF_THE_SDK.includes(name), `${name} is no setting`);
    assert.equal(typeof value, "string", name);
  }
  const loaded = loadSettings({ ...data, ...Object.fromEntries(secrets) });
  assert.ok(loaded.type === "settings", JSON.stringify(loaded));
  assert.equal(loaded.warnings.length, warnings.length, loaded.warnings.join("\n"));
  for (const [i, warning] of warnings.entries()) assert.match(loaded.warnings[i]!, warning);
  return loaded.settings;
}

describe("the chart for Helm", OPTIONS, () => {
  it("has nothing that Helm finds fault with", () => {
    const { status, stdout } = run("lint", CHART, "--strict");
    assert.equal(status, 0, stdout);
    assert.deepEqual(stdout.match(/\[(?:WARNING|ERROR)\].*/g), null);
  });

  it("knows all settings, and which of them are secrets", () => {
    const { properties } = read(join(CHART, "values.schema.json"));
    const names = [...new Set([...Object.keys(SETTINGS), ...OF_THE_SDK])].sort();
    assert.deepEqual(Object.keys(properties.settings.properties), names);
    assert.deepEqual(Object.keys(properties.secretSettings.properties), SECRETS);
    for (const name of SECRETS) {
      assert.match(
        refused({ settings: { [name]: "x" } }),
        new RegExp(`settings\\.${name}: .*secret`),
      );
    }
  });

  it("has the alerts of deploy/monitoring", () => {
    assert.equal(
      readFileSync(join(CHART, "files/alerts.yaml"), "utf8"),
      readFileSync(join(ROOT, "deploy/monitoring/alerts.yaml"), "utf8"),
    );
  });
});

describe("the chart as it comes", OPTIONS, () => {
  let objects: Map<string, Manifest>;
  before(() => {
    objects = render();
  });
  /** The chart's objects are of one release among others: labels have the release, too. */
  const instance = { "app.kubernetes.io/instance": RELEASE };
  const selector = { ...base("deployment").spec.selector.matchLabels, ...instance };

  it("makes what the kustomize base does, and a password", () => {
    const kinds = ["serviceaccount", "deployment", "service", "poddisruptionbudget"]
      .concat("horizontalpodautoscaler").map((name) => base(name).kind);
    const own = ["ConfigMap", "Secret-http"];
    assert.deepEqual([...objects.keys()].sort(), [...kinds, ...own].sort());
    const password = atob(objects.get("Secret-http").data.password);
    assert.match(password, /^[0-9A-Za-z]{48}$/);
    assert.notEqual(password, atob(render().get("Secret-http").data.password));
  });

  it("has the settings of the kustomize base", () => {
    const [{ literals }] = base("kustomization").configMapGenerator;
    const pairs = literals.map((literal: string) => literal.split(/=(.*)/).slice(0, 2));
    assert.deepEqual(objects.get("ConfigMap").data, Object.fromEntries(pairs));
    settingsOf(objects);
  });

  it("runs the pod of the kustomize base", () => {
    const deployment = objects.get("Deployment");
    const wanted = base("deployment");
    assert.deepEqual(deployment.metadata.name, wanted.metadata.name);
    const { annotations } = deployment.spec.template.metadata;
    assert.deepEqual(Object.keys(annotations), ["checksum/settings"]);
    delete deployment.spec.template.metadata.annotations;
    const [container] = deployment.spec.template.spec.containers;
    const metadata = readFileSync(join(ROOT, "package.json"), "utf8");
    const image = `ghcr.io/${repositoryOf(metadata).toLowerCase()}`;
    assert.equal(container.image, `${image}:${JSON.parse(metadata).version}`);
    assert.equal(container.imagePullPolicy, "IfNotPresent");
    delete container.imagePullPolicy;
    container.image = "smtp-oauth-relay";
    wanted.spec.selector.matchLabels = selector;
    wanted.spec.template.metadata.labels = selector;
    wanted.spec.template.spec.topologySpreadConstraints[0].labelSelector.matchLabels = selector;
    assert.deepEqual(deployment.spec, wanted.spec);
  });

  it("has the service, the budget, the autoscaler and the account of the kustomize base", () => {
    for (const name of ["service", "poddisruptionbudget", "horizontalpodautoscaler"]) {
      const wanted = base(name);
      if (name === "service") wanted.spec.selector = selector;
      if (name === "poddisruptionbudget") wanted.spec.selector.matchLabels = selector;
      const found = objects.get(wanted.kind);
      assert.deepEqual([found.apiVersion, found.metadata.name], [wanted.apiVersion, RELEASE]);
      assert.deepEqual(found.spec, wanted.spec, name);
    }
    const account = objects.get("ServiceAccount");
    assert.equal(account.automountServiceAccountToken, false);
  });

  it("says what is still to be done", () => {
    const { stdout } = run("install", "--dry-run=client", RELEASE, CHART);
    const notes = stdout.slice(stdout.indexOf("NOTES:"));
    assert.match(notes, /create secret tls smtp-relay-tls /);
    assert.match(notes, /get secret smtp-relay-http /);
    assert.match(notes, /hostname is still smtp\.example\.com/);
  });
});

describe("the examples of the chart's page", OPTIONS, () => {
  const page = readFileSync(join(CHART, "README.md"), "utf8");
  const all = [...page.matchAll(/^ *```yaml\n([^]*?)^ *```$/gm)].map(([, text]) => parse(text!));
  const example = (has: (values: Manifest) => unknown) => render(all.find((values) => has(values)));

  for (const [i, values] of all.entries()) {
    it(`are rendered with settings that the relay takes (${i + 1})`, () => {
      settingsOf(render(values));
    });
  }

  it("get a certificate from cert-manager, in the secret that the pod has", () => {
    const objects = example(({ tls }) => tls?.certManager);
    const { spec } = objects.get("Certificate");
    assert.deepEqual(spec.dnsNames, ["smtp.example.com"]);
    assert.deepEqual(spec.issuerRef, {
      name: "letsencrypt",
      kind: "ClusterIssuer",
      group: "cert-manager.io",
    });
    assert.equal(podOf(objects).volumes[0].secret.secretName, spec.secretName);
  });

  it("have what the overlay for Azure has", () => {
    const objects = example(({ tls }) => tls?.source === "keyvault");
    const overlay = join(ROOT, "deploy/kubernetes/overlays/azure");
    const [{ literals }] = read(join(overlay, "kustomization.yaml")).configMapGenerator;
    for (const literal of literals) {
      const [name, value] = literal.split(/=(.*)/);
      assert.equal(objects.get("ConfigMap").data[name], value);
    }
    const [account, patch] = parseAllDocuments(
      readFileSync(join(overlay, "workload_identity.yaml"), "utf8"),
    ).map((document) => document.toJS() as Manifest);
    assert.deepEqual(
      objects.get("ServiceAccount").metadata.annotations,
      account.metadata.annotations,
    );
    const { labels } = objects.get("Deployment").spec.template.metadata;
    for (const [name, value] of Object.entries(patch.spec.template.metadata.labels)) {
      assert.equal(labels[name], value);
    }
    const annotations = read(join(overlay, "internal_load_balancer.yaml")).metadata.annotations;
    assert.deepEqual(objects.get("Service").metadata.annotations, annotations);
    assert.equal(podOf(objects).volumes, undefined);
  });

  it("have the lookup file from a secret, as a whole folder", () => {
    const objects = example(({ secretSettings }) => secretSettings?.CLIENT_SECRET);
    const { LOOKUP_FILE } = settingsOf(objects);
    const pod = podOf(objects);
    const mount = pod.containers[0].volumeMounts.find(({ name }: Manifest) => name === "lookup");
    assert.equal(LOOKUP_FILE, `${mount.mountPath}/lookup.json`);
    assert.equal(mount.subPath, undefined);
    const { secret } = pod.volumes.find(({ name }: Manifest) => name === "lookup");
    assert.deepEqual(secret, { secretName: "smtp-relay-lookup", defaultMode: 0o440 });
    assert.deepEqual(pod.containers[0].env[1].valueFrom.secretKeyRef, {
      name: "smtp-relay-login",
      key: "secret",
    });
  });

  it("have the relay's own certificate where its settings look for it", () => {
    const objects = example(({ extraVolumes }) => extraVolumes);
    const pod = podOf(objects);
    const mount = pod.containers[0].volumeMounts.find(({ name }: Manifest) => name === "login");
    const { CLIENT_CERTIFICATE_FILEPATH, CLIENT_KEY_FILEPATH } = settingsOf(objects);
    // What setup.sh calls its files, and `kubectl create secret --from-file` the keys of the secret.
    assert.equal(CLIENT_CERTIFICATE_FILEPATH, `${mount.mountPath}/client-cert.pem`);
    assert.equal(CLIENT_KEY_FILEPATH, `${mount.mountPath}/client-key.pem`);
    assert.equal(mount.subPath, undefined);
    const { secret } = pod.volumes.find(({ name }: Manifest) => name === "login");
    assert.equal(secret.secretName, "smtp-relay-login");
    assert.ok(page.includes(`create secret generic ${secret.secretName} `));
  });

  it("have what the overlay with a queue on a volume has", () => {
    const objects = example(({ queue }) => queue?.type === "sqlite");
    const overlay = join(ROOT, "deploy/kubernetes/overlays/queue");
    const set = objects.get("StatefulSet").spec;
    const changes = new Map<string, Manifest>(
      read(join(overlay, "stateful_set.yaml")).map(({ path, value }: Manifest) => [path, value]),
    );
    assert.deepEqual(set.volumeClaimTemplates, changes.get("/spec/volumeClaimTemplates"));
    assert.equal(set.replicas, changes.get("/spec/replicas"));
    assert.equal(set.serviceName, RELEASE);
    assert.ok(!objects.has("Deployment") && !objects.has("HorizontalPodAutoscaler"));
    const [container] = set.template.spec.containers;
    const [patch] = read(join(overlay, "queue.yaml")).spec.template.spec.containers;
    assert.deepEqual(container.env[1], patch.env[0]);
    assert.deepEqual(container.resources.limits, patch.resources.limits);
    assert.deepEqual(container.volumeMounts[1], patch.volumeMounts[0]);
    const [{ literals }] = read(join(overlay, "kustomization.yaml")).configMapGenerator;
    for (const literal of literals) {
      const [name, value] = literal.split(/=(.*)/);
      assert.equal(objects.get("ConfigMap").data[name], value);
    }
  });

  it("share a queue in a storage account", () => {
    const objects = example(({ queue }) => queue?.type === "azure");
    assert.ok(objects.has("Deployment"));
    const { QUEUE_URL, DELIVERY_MODE, GRAPH_CONCURRENCY } = settingsOf(objects);
    assert.equal(QUEUE_URL.type, "azureStorage");
    assert.deepEqual([DELIVERY_MODE, GRAPH_CONCURRENCY], ["queue", 2]);
  });

  it("are watched as deploy/monitoring is, and let nothing else in", () => {
    const objects = example(({ metrics }) => metrics);
    const service = objects.get("Service-metrics");
    const { spec, metadata } = objects.get("ServiceMonitor");
    for (const [name, value] of Object.entries(spec.selector.matchLabels)) {
      assert.equal(service.metadata.labels[name], value);
    }
    // Not also the service for mail.
    const mail = objects.get("Service").metadata.labels;
    assert.notEqual(mail["app.kubernetes.io/component"], "metrics");
    const [wanted] =
      read(join(ROOT, "deploy/monitoring/kubernetes/service_monitor.yaml")).spec.endpoints;
    assert.deepEqual(spec.endpoints, [wanted]);
    const rule = objects.get("PrometheusRule");
    assert.deepEqual(rule.spec, read(join(ROOT, "deploy/monitoring/alerts.yaml")));
    for (const { labels } of [metadata, rule.metadata]) assert.equal(labels.release, "prometheus");
    const policy = objects.get("NetworkPolicy").spec;
    const [mailRule, httpRule] = policy.ingress;
    assert.deepEqual(mailRule.ports.map(({ port }: Manifest) => port), ["smtp", "smtps"]);
    assert.deepEqual(mailRule.from, [{ ipBlock: { cidr: "10.20.0.0/16" } }]);
    assert.deepEqual(httpRule.ports.map(({ port }: Manifest) => port), ["http"]);
    assert.equal(httpRule.from.length, 1);
    const ports = policy.egress.flatMap(({ ports }: Manifest) => ports);
    assert.deepEqual(ports.map(({ port }: Manifest) => port), [53, 53, 443]);
  });
});

describe("the chart with other values", OPTIONS, () => {
  it("leaves out what is not wanted", () => {
    const objects = render({
      tls: { source: "none" },
      settings: { REQUIRE_TLS: false, MAX_MESSAGE_SIZE: 36700160, GRAPH_CONCURRENCY: 1 },
      autoscaling: { enabled: false },
      replicas: 3,
      podDisruptionBudget: { enabled: false },
      serviceAccount: { create: false },
      http: { existingSecret: "other" },
      service: { type: "ClusterIP", ports: { alternative: 0 } },
      networkPolicy: { enabled: true },
    });
    assert.deepEqual([...objects.keys()].sort(), [
      "ConfigMap",
      "Deployment",
      "NetworkPolicy",
      "Service",
    ]);
    const settings = settingsOf(objects, /REQUIRE_TLS is false/);
    assert.equal(settings.MAX_MESSAGE_SIZE, 36700160);
    assert.equal(settings.GRAPH_CONCURRENCY, 1);
    assert.equal(settings.SMTPS_LISTEN, undefined);
    const deployment = objects.get("Deployment").spec;
    assert.equal(deployment.replicas, 3);
    const [container] = deployment.template.spec.containers;
    assert.ok(!container.ports.some(({ name }: Manifest) => name === "smtps"));
    assert.equal(container.env[0].valueFrom.secretKeyRef.name, "other");
    assert.equal(deployment.template.spec.serviceAccountName, "default");
    const { spec } = objects.get("Service");
    assert.deepEqual(spec.ports.map(({ port }: Manifest) => port), [25, 587]);
    assert.equal(spec.externalTrafficPolicy, undefined);
    // Only what the service lets in, and nothing to the status page.
    const [rule, ...others] = objects.get("NetworkPolicy").spec.ingress;
    assert.deepEqual([rule.from, others], [undefined, []]);
  });

  it("has the image by its digest, and lookup entries as a secret", () => {
    const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
    const entry = { tenant_id: "contoso.example", client_id: "EjRWeBI0EjQSNBI0VniavA" };
    const objects = render({
      image: { digest, tag: "1" },
      lookup: { entries: { scanner: entry } },
    });
    const { containers } = podOf(objects);
    assert.ok(containers[0].image.endsWith(`@${digest}`));
    const file = objects.get("Secret-lookup").data["lookup.json"];
    assert.deepEqual(JSON.parse(atob(file)), { scanner: entry });
  });

  it("has each value where it belongs, and nothing that one has brought along", () => {
    const hostile = 'x"\n      hostNetwork: true\n      y: "';
    const place = { name: hostile, key: hostile };
    const objects = render({
      image: { repository: hostile, tag: hostile, pullSecrets: [hostile] },
      priorityClassName: hostile,
      secretSettings: { CLIENT_SECRET: place },
      queue: { type: "sqlite", keySecret: { key: hostile }, sqlite: { storageClassName: hostile } },
      service: { loadBalancerClass: hostile },
      settings: { LOG_LEVEL: hostile },
    });
    const pod = podOf(objects);
    assert.equal(pod.hostNetwork, undefined);
    assert.equal(pod.priorityClassName, hostile);
    assert.deepEqual(pod.imagePullSecrets, [{ name: hostile }]);
    assert.equal(pod.containers[0].image, `${hostile}:${hostile}`);
    assert.deepEqual(pod.containers[0].env[2].valueFrom.secretKeyRef, place);
    assert.equal(pod.containers[0].env[1].valueFrom.secretKeyRef.key, hostile);
    const [claim] = objects.get("StatefulSet").spec.volumeClaimTemplates;
    assert.equal(claim.spec.storageClassName, hostile);
    assert.equal(objects.get("Service").spec.loadBalancerClass, hostile);
    assert.equal(objects.get("ConfigMap").data.LOG_LEVEL, hostile);
  });

  it("lets OpenShift choose the user", () => {
    const context = { runAsUser: null, runAsGroup: null, fsGroup: null };
    const { securityContext } = podOf(render({ podSecurityContext: context }));
    assert.deepEqual(securityContext, {
      runAsNonRoot: true,
      seccompProfile: { type: "RuntimeDefault" },
    });
  });

  it("takes another grace period with another SHUTDOWN_TIMEOUT", () => {
    const settings = { SHUTDOWN_TIMEOUT: "5m" };
    assert.match(refused({ settings }), /terminationGracePeriodSeconds: must be at least 308/);
    settingsOf(render({ settings, terminationGracePeriodSeconds: 308 }));
  });
});

describe("the chart refuses", OPTIONS, () => {
  const wrong: [string, Values, RegExp][] = [
    ["an unknown value", { tsl: {} }, /additional properties 'tsl' not allowed/],
    ["an unknown setting", { settings: { LOG_LEVLE: "INFO" } }, /'LOG_LEVLE' not allowed/],
    ["a port out of range", { service: { ports: { smtp: 99999 } } }, /\/service\/ports\/smtp/],
    ["another source", { tls: { source: "files" } }, /\/tls\/source.*'secret', 'keyvault', 'none'/],
    ["another queue", { queue: { type: "redis" } }, /\/queue\/type.*'none', 'sqlite', 'azure'/],
    ["an address without length", {
      service: { loadBalancerSourceRanges: ["10.0.0.1"] },
    }, /\/service\/loadBalancerSourceRanges\/0/],
    ["an image's short digest", { image: { digest: "sha256:12" } }, /\/image\/digest/],
    ["a malformed host name", { hostname: "smtp example" }, /\/hostname/],
    ["a share for the queue", {
      queue: { sqlite: { accessModes: ["ReadWriteMany"] } },
    }, /\/queue\/sqlite\/accessModes\/0/],
    ["a secret without its key", {
      secretSettings: { CLIENT_SECRET: { name: "a" } },
    }, /\/secretSettings\/CLIENT_SECRET.*missing property 'key'/],
    [
      "what another value decides",
      { settings: { SMTP_LISTEN: ":25" } },
      /the value service\.ports/,
    ],
    [
      "a vault without its address",
      { tls: { source: "keyvault" } },
      /tls\.keyVault\.url: is needed/,
    ],
    ["a queue without its account", { queue: { type: "azure" } }, /queue\.azure\.url: is needed/],
    ["an issuer without a name", {
      tls: { certManager: { enabled: true } },
    }, /issuerRef\.name: is needed/],
    ["two lookup files", {
      lookup: { secretName: "a", entries: { a: {} } },
    }, /lookup: either secretName or entries/],
    ["fewer at most than at least", {
      autoscaling: { minReplicas: 5 },
    }, /maxReplicas: is less than minReplicas/],
    ["a load balancer that lets everybody in without a word", {
      service: { loadBalancerSourceRanges: [] },
    }, /loadBalancerSourceRanges: none lets everybody in/],
    ["to trust the addresses of nodes, which would make an open relay", {
      service: { externalTrafficPolicy: "Cluster" },
      settings: { TRUSTED_NETWORKS: "10.0.0.0/8" },
    }, /TRUSTED_NETWORKS: needs service\.externalTrafficPolicy Local/],
  ];
  for (const [what, values, line] of wrong) {
    it(what, () => assert.match(refused(values), line));
  }

  it("several at once, a line each", () => {
    const lines = refused({ tls: { source: "keyvault" }, queue: { type: "azure" } }).split("\n");
    assert.equal(
      lines.filter((line) => line.endsWith("is needed with queue.type azure")).length,
      1,
    );
    assert.equal(lines.filter((line) => / with tls\.source keyvault$/.test(line)).length, 2);
  });
});

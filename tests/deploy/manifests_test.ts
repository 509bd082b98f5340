/**
 * deploy/kubernetes and deploy/compose.yaml, held against the program: its settings, its ports, its
 * user, and the time that it takes to stop. What kubectl and docker-compose say of them is
 * manifests.sh's business.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { parse, parseAllDocuments } from "yaml";
import { loadSettings } from "../../src/settings/load.ts";
import { SETTINGS, type Settings } from "../../src/settings/schema.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BASE = join(ROOT, "deploy/kubernetes/base");
const AZURE = join(ROOT, "deploy/kubernetes/overlays/azure");
const QUEUE = join(ROOT, "deploy/kubernetes/overlays/queue");
const AZURE_QUEUE = join(ROOT, "deploy/kubernetes/overlays/azure_queue");
/** The image's directory for a queue: see the Containerfile. */
const STATE = "/var/lib/smtp-oauth-relay";
/** 32 octets in base64. */
const QUEUE_KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/** The image's working directory: see the Containerfile. */
const WORKDIR = "/usr/src/smtp-relay";
const USER = 65532;
/** Milliseconds from the end of SHUTDOWN_TIMEOUT until the process is gone: docs/installation.md. */
const LAST_WORDS = 3_000;

// deno-lint-ignore no-explicit-any -- manifests have no types here; kubectl knows them
type Manifest = any;

function manifest(path: string): Manifest {
  return parse(readFileSync(path, "utf8"), { version: "1.2" });
}

function variables(literals: readonly string[]): Record<string, string> {
  return Object.fromEntries(literals.map((literal) => {
    const equals = literal.indexOf("=");
    return [literal.slice(0, equals), literal.slice(equals + 1)];
  }));
}

/** Read by the Azure SDK, not by us: docs/settings.md. */
const OF_THE_SDK = new Set(["AZURE_TOKEN_CREDENTIALS"]);

/** The settings of an environment in which every name is a setting and every value is allowed. */
function settingsOf(environment: Record<string, string>): Settings {
  for (const name of Object.keys(environment)) {
    assert.ok(name in SETTINGS || OF_THE_SDK.has(name), `${name} is no setting`);
  }
  const loaded = loadSettings(environment);
  assert.ok(loaded.type === "settings", JSON.stringify(loaded));
  assert.deepEqual(loaded.warnings, []);
  return loaded.settings;
}

function portsOf(settings: Settings): Set<number> {
  const smtps = settings.SMTPS_LISTEN ?? [];
  return new Set([...settings.SMTP_LISTEN, ...smtps].map(({ port }) => port));
}

for (const folder of [BASE, AZURE, QUEUE, AZURE_QUEUE]) {
  describe(`the kustomization ${folder.slice(ROOT.length)}`, () => {
    it("names all files that are there, and no others", () => {
      const { resources, patches = [] } = manifest(join(folder, "kustomization.yaml"));
      const named = [...resources, ...patches.map(({ path }: { path: string }) => path)]
        .filter((path: string) => !path.startsWith("../"));
      const there = readdirSync(folder).filter((file) => file !== "kustomization.yaml");
      assert.deepEqual(named.sort(), there.sort());
    });
  });
}

const deployment = manifest(join(BASE, "deployment.yaml"));
const pod = deployment.spec.template.spec;
const [container] = pod.containers;
const [generator] = manifest(join(BASE, "kustomization.yaml")).configMapGenerator;
const secrets = Object.fromEntries(
  container.env.map(({ name }: { name: string }) => [name, "a secret"]),
);
const environment = { ...variables(generator.literals), ...secrets };

describe("the deployment for Kubernetes", () => {
  const ports = new Map<string, number>(
    container.ports.map((port: Manifest) => [port.name, port.containerPort]),
  );

  it("has settings that the relay takes", () => {
    assert.equal(container.envFrom[0].configMapRef.name, generator.name);
    assert.equal(container.env[0].valueFrom.secretKeyRef.key, "password");
    settingsOf(environment);
  });

  it("has the ports that the relay listens on", () => {
    const settings = settingsOf(environment);
    const http = settings.HTTP_LISTEN;
    assert.ok(http !== "off");
    assert.equal(ports.get("http"), http.port);
    const others = [...ports].filter(([name]) => name !== "http").map(([, port]) => port);
    assert.deepEqual(new Set(others), portsOf(settings));
  });

  it("is asked by probes where the relay answers them, from outside of the pod", () => {
    const http = settingsOf(environment).HTTP_LISTEN;
    assert.ok(http !== "off" && http.hostname === "::", JSON.stringify(http));
    assert.deepEqual(container.readinessProbe.httpGet, { path: "/readyz", port: "http" });
    for (const probe of [container.livenessProbe, container.startupProbe]) {
      assert.deepEqual(probe.httpGet, { path: "/healthz", port: "http" });
    }
  });

  it("leaves more time to stop than the relay takes", () => {
    const { SHUTDOWN_TIMEOUT } = settingsOf(environment);
    // preStop counts: its time is taken from the grace period.
    const grace = (pod.terminationGracePeriodSeconds - container.lifecycle.preStop.sleep.seconds) *
      1000;
    assert.ok(grace > SHUTDOWN_TIMEOUT + LAST_WORDS, `${grace} ms`);
  });

  it("meets the standard that the namespace enforces, and has a read-only root", () => {
    const namespace = manifest(join(BASE, "namespace.yaml"));
    assert.equal(namespace.metadata.labels["pod-security.kubernetes.io/enforce"], "restricted");
    assert.deepEqual(pod.securityContext, {
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      fsGroup: USER,
      seccompProfile: { type: "RuntimeDefault" },
    });
    assert.deepEqual(container.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
    assert.equal(pod.automountServiceAccountToken, false);
  });

  it("runs in 256Mi", () => assert.equal(container.resources.limits.memory, "256Mi"));

  it("has the certificate where the relay looks for it, readable by its group alone", () => {
    const settings = settingsOf(environment);
    const [mount] = container.volumeMounts;
    const { secret } = pod.volumes.find(({ name }: Manifest) => name === mount.name);
    const files = secret.items.map(({ path }: Manifest) => `${mount.mountPath}/${path}`);
    const wanted = [settings.TLS_CERT_FILEPATH, settings.TLS_KEY_FILEPATH]
      .map((path) => `${WORKDIR}/${path}`);
    assert.deepEqual(files, wanted);
    assert.equal(mount.readOnly, true);
    assert.ok(mount.subPath === undefined);
    assert.equal(secret.defaultMode, 0o440);
  });
});

describe("what belongs to the deployment", () => {
  const labels = deployment.spec.template.metadata.labels;

  it("is the service's, on the ports that devices know, with their addresses kept", () => {
    const { spec } = manifest(join(BASE, "service.yaml"));
    assert.deepEqual(spec.selector, labels);
    assert.equal(spec.externalTrafficPolicy, "Local");
    const names = new Set(container.ports.map(({ name }: Manifest) => name));
    const targets = Object.fromEntries(
      spec.ports.map(({ port, targetPort }: Manifest) => [port, targetPort]),
    );
    assert.deepEqual(targets, { 25: "smtp", 587: "smtp", 465: "smtps", 8025: "smtp" });
    for (const target of Object.values(targets)) assert.ok(names.has(target));
  });

  it("is chosen by its labels everywhere", () => {
    assert.deepEqual(deployment.spec.selector.matchLabels, labels);
    const budget = manifest(join(BASE, "poddisruptionbudget.yaml"));
    assert.deepEqual(budget.spec.selector.matchLabels, labels);
    assert.equal(budget.spec.maxUnavailable, 1);
    const [spread] = pod.topologySpreadConstraints;
    assert.deepEqual(spread.labelSelector.matchLabels, labels);
  });

  it("is scaled by the autoscaler, and shares Graph's concurrency", () => {
    const { spec } = manifest(join(BASE, "horizontalpodautoscaler.yaml"));
    const { scaleTargetRef, minReplicas, maxReplicas } = spec;
    assert.deepEqual(scaleTargetRef, {
      apiVersion: deployment.apiVersion,
      kind: deployment.kind,
      name: deployment.metadata.name,
    });
    assert.ok(maxReplicas >= minReplicas);
    assert.equal(deployment.spec.replicas, undefined);
    assert.equal(minReplicas * settingsOf(environment).GRAPH_CONCURRENCY, 4);
  });

  it("runs under its service account", () => {
    const account = manifest(join(BASE, "serviceaccount.yaml"));
    assert.equal(account.metadata.name, pod.serviceAccountName);
    assert.equal(account.automountServiceAccountToken, false);
  });
});

describe("the overlay for Azure", () => {
  const { configMapGenerator } = manifest(join(AZURE, "kustomization.yaml"));
  const patch = parseAllDocuments(readFileSync(join(AZURE, "workload_identity.yaml"), "utf8"))
    .map((document) => document.toJS() as Manifest);

  it("has settings that the relay takes together with the base's", () => {
    const [{ name, behavior, literals }] = configMapGenerator;
    assert.deepEqual([name, behavior], [generator.name, "merge"]);
    const settings = settingsOf({ ...environment, ...variables(literals) });
    assert.equal(settings.TLS_SOURCE, "keyvault");
  });

  it("gives the pods the workload identity of their service account", () => {
    const [account, labelled] = patch;
    assert.equal(account.metadata.name, pod.serviceAccountName);
    assert.ok("azure.workload.identity/client-id" in account.metadata.annotations);
    // The webhook reads the pods' label, as a string.
    const labels = labelled.spec.template.metadata.labels;
    assert.equal(labels["azure.workload.identity/use"], "true");
  });
});

/** The settings of an overlay with a queue, on top of others. */
function queueSettings(folder: string, below: Record<string, string>): Settings {
  const { configMapGenerator } = manifest(join(folder, "kustomization.yaml"));
  const [{ name, behavior, literals }] = configMapGenerator;
  assert.deepEqual([name, behavior], [generator.name, "merge"]);
  return settingsOf({ ...below, ...variables(literals), QUEUE_KEY });
}

/** The key comes from the secret that the page creates. */
function assertKey(patched: Manifest): void {
  const [{ name, env, resources }] = patched.spec.template.spec.containers;
  assert.equal(name, container.name);
  assert.equal(resources.limits.memory, "384Mi");
  assert.deepEqual(env, [{
    name: "QUEUE_KEY",
    valueFrom: { secretKeyRef: { name: "smtp-relay-queue", key: "key" } },
  }]);
  const page = readFileSync(join(ROOT, "deploy/kubernetes/README.md"), "utf8");
  assert.match(page, /create secret generic smtp-relay-queue \\\n *--from-literal=key=/);
}

describe("the overlay with a queue on a volume", () => {
  const settings = queueSettings(QUEUE, environment);
  const patch = manifest(join(QUEUE, "queue.yaml"));
  const changes = new Map<string, Manifest>(
    manifest(join(QUEUE, "stateful_set.yaml")).map(({ path, value }: Manifest) => [path, value]),
  );

  it("has the queue on the volume, which is the pod's own and has room for it", () => {
    const { QUEUE_URL: address, QUEUE_MAX_BYTES } = settings;
    assert.deepEqual(address, { type: "sqlite", path: `${STATE}/queue.db` });
    const [mount] = patch.spec.template.spec.containers[0].volumeMounts;
    const [{ metadata, spec }] = changes.get("/spec/volumeClaimTemplates");
    assert.deepEqual(mount, { name: metadata.name, mountPath: STATE });
    assert.deepEqual(spec.accessModes, ["ReadWriteOncePod"]);
    const [, gibibytes] = /^(\d+)Gi$/.exec(spec.resources.requests.storage) ?? [];
    // 5 % of a disk stay free.
    assert.ok(Number(gibibytes) * 2 ** 30 * 0.95 > QUEUE_MAX_BYTES);
    assertKey(patch);
  });

  it("is one instance, with all of Graph's requests, that no autoscaler multiplies", () => {
    assert.equal(changes.get("/kind"), "StatefulSet");
    assert.equal(changes.get("/spec/replicas"), 1);
    assert.equal(settings.GRAPH_CONCURRENCY, 4);
    const scaler = manifest(join(QUEUE, "no_autoscaler.yaml"));
    const { kind, metadata } = manifest(join(BASE, "horizontalpodautoscaler.yaml"));
    assert.deepEqual([scaler.$patch, scaler.kind, scaler.metadata], ["delete", kind, metadata]);
  });
});

describe("the overlay with a queue in an Azure storage account", () => {
  it("has settings that the relay takes together with the Azure overlay's", () => {
    const [{ literals }] = manifest(join(AZURE, "kustomization.yaml")).configMapGenerator;
    const below = { ...environment, ...variables(literals) };
    const { QUEUE_URL: address } = queueSettings(AZURE_QUEUE, below);
    assert.equal(address.type, "azureStorage");
    assertKey(manifest(join(AZURE_QUEUE, "queue.yaml")));
  });
});

describe("compose.queue.yaml", () => {
  const { services, volumes, secrets } = manifest(join(ROOT, "deploy/compose.queue.yaml"));
  const { relay } = services;

  it("adds settings that the relay takes, with the queue on a volume and the key in a file", () => {
    const { QUEUE_KEY_FILE: path, ...others } = relay.environment;
    const base = manifest(join(ROOT, "deploy/compose.yaml")).services.relay.environment;
    const { QUEUE_URL: address } = settingsOf({ ...base, ...others, QUEUE_KEY });
    assert.deepEqual(address, { type: "sqlite", path: `${STATE}/queue.db` });
    const [volume, place] = relay.volumes[0].split(":");
    assert.equal(place, STATE);
    assert.ok(volume in volumes);
    assert.equal(path, `/run/secrets/${relay.secrets[0]}`);
    assert.ok(relay.secrets[0] in secrets);
  });

  it("has a volume where the image has a directory of its user", () => {
    const image = readFileSync(join(ROOT, "Containerfile"), "utf8");
    const [, folder, name] = /^WORKDIR (.*)\nCOPY .* --chown=65532:65532 .* (.*)$/m.exec(image) ??
      [];
    assert.equal(`${folder}/${name}`, STATE);
  });
});

describe("compose.yaml", () => {
  const { relay } = manifest(join(ROOT, "deploy/compose.yaml")).services;

  it("has settings that the relay takes, and publishes the ports that it listens on", () => {
    const ports = portsOf(settingsOf(relay.environment));
    const published = new Map<string, number>(relay.ports.map((pair: string) => {
      const [outside = "", inside] = pair.split(":");
      return [outside, Number(inside)];
    }));
    assert.deepEqual([...published.keys()], ["25", "587", "465"]);
    assert.deepEqual(new Set(published.values()), ports);
  });

  it("leaves more time to stop than the relay takes", () => {
    const { SHUTDOWN_TIMEOUT } = settingsOf(relay.environment);
    const grace = Number(/^(\d+)s$/.exec(relay.stop_grace_period)?.[1]) * 1000;
    assert.ok(grace > SHUTDOWN_TIMEOUT + LAST_WORDS, `${grace} ms`);
  });

  it("is hardened as the deployment is", () => {
    assert.equal(relay.read_only, true);
    assert.equal(relay.user, `${USER}:${USER}`);
    assert.deepEqual(relay.cap_drop, ["ALL"]);
    assert.deepEqual(relay.security_opt, ["no-new-privileges:true"]);
    assert.deepEqual(relay.volumes, [`./certs:${WORKDIR}/certs:ro`]);
  });

  it("has the image's own health check", () => {
    const image = readFileSync(join(ROOT, "Containerfile"), "utf8");
    const [, options = "", command = ""] = /^HEALTHCHECK (.*) \\\n *CMD (\[.*\])$/m.exec(image) ??
      [];
    const { test, ...times } = relay.healthcheck;
    assert.deepEqual(test, ["CMD", ...JSON.parse(command)]);
    const same = options.split(" ").map((option) => option.replace(/^--/, "").split("="))
      .map(([name, value]) => [name!.replaceAll("-", "_"), value]);
    assert.deepEqual(
      Object.fromEntries(Object.entries(times).map(([name, value]) => [name, String(value)])),
      Object.fromEntries(same),
    );
  });
});

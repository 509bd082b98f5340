/**
 * Holds deploy/azure, deploy/winget and the chart's objects of other projects against the schemas that Azure,
 * winget, cert-manager and the Prometheus Operator publish. No package has these schemas, so that a person runs
 * this who has clones of their repositories, where one of the files has changed:
 *
 *   bun tests/deploy/published_schemas.ts FOLDER
 *
 * with FOLDER/azure-resource-manager-schemas, winget-cli, cert-manager and prometheus-operator (bare ones too).
 * One line for each thing that was looked at; exit 1 if one is wrong.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { parse, parseAllDocuments } from "yaml";
import { helm } from "../../scripts/helm.mjs";
import { armDeployment } from "./azure/arm.ts";
import { CASES } from "./azure/cases.ts";
import type { Value } from "./azure/functions.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const COMMON = "https://schema.management.azure.com/schemas/common/definitions.json";
const folder = process.argv[2];
if (folder === undefined || process.argv.length > 3) {
  console.error("usage: bun tests/deploy/published_schemas.ts FOLDER");
  process.exit(2);
}

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
function published(clone: string, path: string): string {
  return execFileSync("git", ["-C", join(folder!, clone), "show", `HEAD:${path}`], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
}

/** Schemas say nothing of properties that they do not name: here, there are none. */
function closed(schema: Value): Value {
  if (Array.isArray(schema)) return schema.map(closed);
  if (schema === null || typeof schema !== "object") return schema;
  const inner = Object.fromEntries(
    Object.entries<Value>(schema).map(([key, value]) => [key, closed(value)]),
  );
  const isOpen = inner["type"] === "object" && inner["properties"] !== undefined &&
    !("additionalProperties" in inner) && !("oneOf" in inner) && !("allOf" in inner) &&
    inner["x-kubernetes-preserve-unknown-fields"] !== true;
  return isOpen ? { ...inner, additionalProperties: false } : inner;
}

/** Some patterns are of Go, and are passed over. */
const regExp = Object.assign((pattern: string, flags: string) => {
  try {
    return new RegExp(pattern, flags);
  } catch {
    return /(?:)/;
  }
}, { code: "regExp" });
const ajv = () => new Ajv({ strict: false, allErrors: true, logger: false, code: { regExp } });
let isWrong = false;
function report(what: string, errors: string | undefined): void {
  console.log(`${errors === undefined ? "ok" : "WRONG"} ${what}${errors ? `: ${errors}` : ""}`);
  isWrong ||= errors !== undefined;
}

// --- the template: each resource, by the schema of its provider and version ---

const template = JSON.parse(read("deploy/azure/container-app.json"));
const checkers = new Map<string, [Ajv, (resource: Value) => boolean, () => string]>();

function azureChecker(type: string, apiVersion: string) {
  const key = `${type}@${apiVersion}`;
  if (checkers.has(key)) return checkers.get(key)!;
  const [provider, ...segments] = type.split("/");
  const suffix = provider === "Microsoft.Network" ? ".NRP" : "";
  const file = `schemas/${apiVersion}/${provider}${suffix}.json`;
  const schema = JSON.parse(published("azure-resource-manager-schemas", file));
  const name = segments.join("_");
  const section = [
    "resourceDefinitions",
    "unknown_resourceDefinitions",
    "extension_resourceDefinitions",
  ]
    .find((section) => name in (schema[section] ?? {}));
  if (section === undefined) throw new Error(`${file} has no ${name}`);
  delete schema[section][name].properties.resources;
  schema[section][name].properties.scope = { type: "string" };
  const checker = ajv();
  const common = JSON.parse(
    published("azure-resource-manager-schemas", "schemas/common/definitions.json"),
  );
  const { expression } = common.definitions;
  checker.addSchema({ definitions: { expression } }, COMMON);
  checker.addSchema(
    closed({ [section]: { [name]: schema[section][name] }, definitions: schema.definitions }),
    file,
  );
  const validate = checker.getSchema(`${file}#/${section}/${name}`)!;
  const entry: [Ajv, (resource: Value) => boolean, () => string] = [
    checker,
    (resource) => validate(resource) as boolean,
    () => checker.errorsText(validate.errors),
  ];
  checkers.set(key, entry);
  return entry;
}

for (const [name, parameters] of Object.entries(CASES)) {
  for (const resource of armDeployment(template, parameters).resources) {
    if (resource.type === "Microsoft.App/containerApps") {
      // For the schema, a fraction is an integer, or what an expression says.
      resource.properties.template.containers[0].resources.cpu = "[json('0.25')]";
    }
    const [, isRight, errors] = azureChecker(resource.type, resource.apiVersion);
    // Some schemas are for the whole name, and others for that in the parent.
    const inParent = { ...resource, name: resource.name.split("/").at(-1) };
    const right = isRight(resource) || isRight(inParent);
    report(`${resource.type}@${resource.apiVersion} ${name}`, right ? undefined : errors());
  }
}

// --- the form ---

const forms = ajv();
for (const name of ["CommonControl", "MultiVm", "ProviderControl"]) {
  const path = `schemas/0.1.2-preview/CreateUIDefinition.${name}.json`;
  const { id: _, $schema: __, ...schema } = JSON.parse(
    published("azure-resource-manager-schemas", path),
  );
  forms.addSchema(schema, `CreateUIDefinition.${name}.json`);
}
const form = forms.getSchema("CreateUIDefinition.MultiVm.json")!;
const isForm = form(JSON.parse(read("deploy/azure/createUiDefinition.json")));
report("createUiDefinition.json", isForm ? undefined : forms.errorsText(form.errors));

// --- winget's manifests ---

for (
  const name of readdirSync(join(ROOT, "deploy/winget")).filter((name) => name.endsWith(".yaml"))
) {
  const manifest = parse(read(`deploy/winget/${name}`));
  const version = manifest.ManifestVersion;
  const path =
    `schemas/JSON/manifests/v${version}/manifest.${manifest.ManifestType}.${version}.json`;
  const { $id: _, $schema: __, ...schema } = JSON.parse(published("winget-cli", path));
  const checker = ajv();
  const isRight = checker.validate({ ...schema, additionalProperties: false }, manifest);
  report(name, isRight ? undefined : checker.errorsText(checker.errors));
}

// --- the chart's objects for cert-manager and the Prometheus Operator ---

const DEFINITIONS: Record<string, [clone: string, path: string]> = {
  Certificate: ["cert-manager", "deploy/crds/cert-manager.io_certificates.yaml"],
  ServiceMonitor: [
    "prometheus-operator",
    "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
  ],
  PrometheusRule: [
    "prometheus-operator",
    "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
  ],
};
const [program, ...first] = helm() as [string, ...string[]];
const rendered = spawnSync(program, [
  ...[...first, "template", "relay", join(ROOT, "deploy/helm/smtp-oauth-relay")],
  ...["--set", "tls.certManager.enabled=true,tls.certManager.issuerRef.name=a"],
  ...["--set", "metrics.serviceMonitor.enabled=true,metrics.rules.enabled=true"],
], { encoding: "utf8" });
const objects = parseAllDocuments(rendered.stdout).map((document) => document.toJS());
for (const [kind, [clone, path]] of Object.entries(DEFINITIONS)) {
  const object = objects.find((object) => object.kind === kind);
  const { spec } = parse(published(clone, path));
  const version = object.apiVersion.split("/")[1];
  const { schema } = spec.versions.find(({ name }: Value) => name === version);
  const checker = ajv();
  const { metadata: _, ...rest } = object;
  delete schema.openAPIV3Schema.properties.metadata;
  const isRight = checker.validate(closed(schema.openAPIV3Schema), rest);
  report(`${kind} of the chart`, isRight ? undefined : checker.errorsText(checker.errors));
}
process.exit(isWrong ? 1 : 0);

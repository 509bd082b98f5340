/**
 * deploy/azure, held against the program and itself: neither a compiler for Bicep nor a subscription is here.
 * Both templates are evaluated, and what they would deploy is examined. published_schemas.ts, which needs
 * clones of others' repositories, holds it against Azure's own schemas. The portal's form: azure_form_test.ts.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { loadSettings } from "../../src/settings/load.ts";
import { SETTINGS } from "../../src/settings/schema.ts";
import { repositoryOf } from "../../scripts/release/repository.mjs";
import { armDeployment, idOf } from "./azure/arm.ts";
import { CASES, hostname } from "./azure/cases.ts";
import { bicepDeployment, readBicep } from "./azure/bicep.ts";
import type { Value } from "./azure/functions.ts";

const FOLDER = fileURLToPath(new URL("../../deploy/azure/", import.meta.url));
const read = (name: string) => readFileSync(FOLDER + name, "utf8");
const text = read("container-app.bicep");
const bicep = readBicep(text);
const template = JSON.parse(read("container-app.json"));

/** Read by the Azure SDK, not by us. */
const OF_THE_SDK = new Set(["AZURE_CLIENT_ID", "AZURE_TOKEN_CREDENTIALS"]);

const byName = (resources: readonly Value[]) =>
  resources.toSorted((a, b) => idOf(a) < idOf(b) ? -1 : 1);

function appOf(resources: readonly Value[]): Value {
  return resources.find(({ type }) => type === "Microsoft.App/containerApps").properties;
}

/** A container's environment, with the values of the app's secrets. */
function environmentOf({ configuration, template }: Value): Record<string, string> {
  const secrets = new Map(configuration.secrets.map(({ name, value }: Value) => [name, value]));
  return Object.fromEntries(
    template.containers[0].env.map(({ name, value, secretRef }: Value) => {
      const found = secretRef === undefined ? value : secrets.get(secretRef);
      assert.equal(typeof found, "string", name);
      return [name, found];
    }),
  );
}

/** Words of each interface that the templates use (https://learn.microsoft.com/azure/templates). */
const KNOWN: Record<string, string> = {
  "Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31": "",
  "Microsoft.KeyVault/vaults@2023-07-01":
    "properties tenantId sku family name enableRbacAuthorization",
  "Microsoft.KeyVault/vaults/secrets@2023-07-01": "properties contentType value",
  "Microsoft.Authorization/roleAssignments@2022-04-01":
    "scope properties principalId principalType roleDefinitionId",
  "Microsoft.Storage/storageAccounts@2023-05-01":
    "kind sku name properties allowSharedKeyAccess allowBlobPublicAccess minimumTlsVersion supportsHttpsTrafficOnly",
  "Microsoft.Storage/storageAccounts/tableServices@2023-05-01": "",
  "Microsoft.Storage/storageAccounts/tableServices/tables@2023-05-01": "",
  "Microsoft.Network/virtualNetworks@2024-10-01":
    "properties addressSpace addressPrefixes subnets name addressPrefix delegations serviceName",
  "Microsoft.App/managedEnvironments@2024-03-01":
    "properties vnetConfiguration infrastructureSubnetId internal workloadProfiles name workloadProfileType",
  "Microsoft.App/containerApps@2024-03-01":
    "identity type userAssignedIdentities properties environmentId workloadProfileName configuration " +
    "activeRevisionsMode registries server identity secrets name value ingress external transport " +
    "targetPort exposedPort additionalPortMappings ipSecurityRestrictions action ipAddressRange template " +
    "terminationGracePeriodSeconds containers image resources cpu memory env secretRef probes httpGet " +
    "path port periodSeconds failureThreshold timeoutSeconds scale minReplicas maxReplicas",
};

/** All keys of an object and of what is in it, but those that are ids. */
function wordsIn(value: Value): string[] {
  if (value === null || typeof value !== "object") return [];
  if (Array.isArray(value)) return value.flatMap(wordsIn);
  return Object.entries(value).flatMap(([key, inner]) => [key, ...wordsIn(inner)])
    .filter((word) => !word.startsWith("/subscriptions/"));
}

for (const [name, parameters] of Object.entries(CASES)) {
  const { resources, outputs, after, names } = armDeployment(template, parameters);

  describe(`the template for Container Apps ${name}`, () => {
    it("deploys the same as the Bicep file", () => {
      const other = bicepDeployment(bicep, parameters);
      assert.deepEqual(byName(resources), byName(other.resources));
      assert.deepEqual(outputs, other.outputs);
    });

    it("deploys interfaces that are known, by words that they have", () => {
      for (const resource of resources) {
        const api = `${resource.type}@${resource.apiVersion}`;
        assert.ok(api in KNOWN, api);
        const words = new Set(["type", "apiVersion", "name", "location"]);
        for (const word of KNOWN[api]!.split(" ")) words.add(word);
        for (const word of wordsIn(resource)) assert.ok(words.has(word), `${api}: ${word}`);
      }
    });

    it("keeps to Azure's limits of names and numbers", () => {
      const names = Object.fromEntries(
        resources.map(({ type, name }) => [type.split("/").slice(1).join("/"), name]),
      );
      // https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
      assert.match(names["storageAccounts"], /^[a-z0-9]{3,24}$/);
      assert.match(names["vaults"] ?? "vault", /^[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]$/);
      assert.match(names["containerApps"], /^[a-z][a-z0-9-]{0,30}[a-z0-9]$/);
      assert.match(names["storageAccounts/tableServices/tables"], /\/[A-Za-z][A-Za-z0-9]{2,62}$/);
      // https://learn.microsoft.com/rest/api/containerapps/container-apps/create-or-update
      const { configuration, template } = appOf(resources);
      for (
        const { periodSeconds, failureThreshold, timeoutSeconds = 1 } of template.containers[0]
          .probes
      ) {
        assert.ok(periodSeconds <= 240 && failureThreshold <= 10 && timeoutSeconds <= 240);
      }
      assert.ok(template.terminationGracePeriodSeconds <= 600);
      for (const { name } of configuration.secrets) assert.match(name, /^[a-z0-9][a-z0-9.-]*$/);
      // TCP leaves these to others: https://learn.microsoft.com/azure/container-apps/ingress-overview
      const { exposedPort, additionalPortMappings } = configuration.ingress;
      const ports = [exposedPort, ...additionalPortMappings.map((one: Value) => one.exposedPort)];
      assert.ok(!ports.includes(80) && !ports.includes(443) && ports.length <= 6);
    });

    it("makes each resource after those that it names", () => {
      const made = [...names.keys()];
      for (const [id, named] of names) {
        const reached = new Set(predecessors(id, after));
        // Or a part of it, such as the subnet of a network.
        const needed = made.filter((one) =>
          one !== id && [...named].some((part) => `${part}/`.startsWith(`${one}/`))
        );
        for (const one of needed) assert.ok(reached.has(one), `${id} does not wait for ${one}`);
        for (const one of after.get(id)!) assert.ok(made.includes(one), `${id} waits for ${one}`);
      }
    });

    it("has settings that the relay takes", () => {
      const app = appOf(resources);
      const environment = environmentOf(app);
      for (const name of Object.keys(environment)) {
        assert.ok(name in SETTINGS || OF_THE_SDK.has(name), `${name} is no setting`);
      }
      const loaded = loadSettings(environment);
      assert.ok(loaded.type === "settings", JSON.stringify(loaded));
      assert.deepEqual(loaded.warnings, []);
      const { settings } = loaded;
      assert.equal(settings.MAX_CONNECTIONS_PER_IP, settings.MAX_CONNECTIONS);
      assert.equal(settings.DELIVERY_MODE, parameters["queue"] ? "queue" : "direct");
      const { scale, terminationGracePeriodSeconds: grace } = app.template;
      assert.ok(grace * 1000 > settings.SHUTDOWN_TIMEOUT + 3_000, `${grace} s`);
      assert.equal(scale.maxReplicas * settings.GRAPH_CONCURRENCY, 4);
      // Probes and clients come to the ports that the relay listens on.
      const http = settings.HTTP_LISTEN;
      assert.ok(http !== "off");
      const probes = app.template.containers[0].probes.map(({ httpGet }: Value) => httpGet);
      assert.deepEqual(
        probes,
        ["/healthz", "/readyz", "/healthz"].map((path) => ({ path, port: http.port })),
      );
      const { ingress } = app.configuration;
      const [smtp, smtps] = [settings.SMTP_LISTEN, settings.SMTPS_LISTEN!].map(([one]) =>
        one!.port
      );
      const ports = [ingress, ...ingress.additionalPortMappings]
        .map(({ exposedPort, targetPort, external }) => [exposedPort, targetPort, external]);
      assert.deepEqual(ports, [[587, smtp, true], [25, smtp, true], [465, smtps, true]]);
      assert.equal(ingress.transport, "tcp");
    });

    it("gives the identity these rights, and no others", () => {
      const rights = resources.filter(({ type }) => type.endsWith("/roleAssignments"))
        .map(({ scope, properties }) => [
          scope.replace(/^.*\/providers\//, "").replace(/(relay)-?[0-9a-f]{13}/, "$1"),
          ROLES[properties.roleDefinitionId.split("/").at(-1)],
        ]);
      const vault = parameters["vaultName"] ?? "relay";
      const account = "Microsoft.Storage/storageAccounts/relay";
      assert.deepEqual(rights.sort(), [
        ...(parameters["registryName"] === undefined
          ? []
          : [["Microsoft.ContainerRegistry/registries/registry", "AcrPull"]]),
        [`Microsoft.KeyVault/vaults/${vault}/secrets/smtp-relay`, "Key Vault Secrets User"],
        ...(parameters["queue"]
          ? [
            [account, "Storage Blob Data Contributor"],
            [account, "Storage Queue Data Contributor"],
          ]
          : []),
        [`${account}/tableServices/default/tables/users`, "Storage Table Data Reader"],
      ]);
    });
  });
}

/** https://learn.microsoft.com/azure/role-based-access-control/built-in-roles */
const ROLES: Record<string, string> = {
  "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
  "76199698-9eea-4c19-bc75-cec21354c6b6": "Storage Table Data Reader",
  "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
  "974c5e8b-45b9-4653-ba55-5f855dd0fb88": "Storage Queue Data Contributor",
  "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
};

function predecessors(id: string, after: ReadonlyMap<string, readonly string[]>): string[] {
  return (after.get(id) ?? []).flatMap((one) => [one, ...predecessors(one, after)]);
}

describe("both templates for Container Apps", () => {
  it("say that they were not run", () => assert.match(text, /NOT COMPILED AND NOT RUN/));

  it("have the same parameters and descriptions, each of them used", () => {
    const parameters = Object.fromEntries(
      [...bicep.parameters].map(([name, { type, standard, decorators }]) => {
        const { description, secure, ...limits } = decorators;
        return [name, {
          type: secure ? "securestring" : type,
          ...(standard === undefined ? {} : { defaultValue: standard(new Map()) }),
          ...limits,
          metadata: { description },
        }];
      }),
    );
    const standard = armDeployment(template, { hostname, certificatePem: "-----BEGIN" });
    const found = structuredClone(template.parameters);
    for (const parameter of Object.values<Value>(found)) {
      if (parameter.defaultValue === "[resourceGroup().location]") {
        parameter.defaultValue = standard.resources[0].location;
      } else if (parameter.defaultValue === "[newGuid()]") {
        parameter.defaultValue = environmentOf(appOf(standard.resources))["HTTP_PASSWORD"];
      }
    }
    assert.deepEqual(found, parameters);
    const all = Object.values(CASES).map((given) => armDeployment(template, given));
    const used = (of: "usedParameters" | "usedVariables") =>
      [...new Set(all.flatMap((one) => [...one[of]]))].sort();
    assert.deepEqual(used("usedParameters"), Object.keys(parameters).sort());
    assert.deepEqual(used("usedVariables"), Object.keys(template.variables).sort());
    for (const name of [...bicep.parameters.keys(), ...bicep.variables.keys()]) {
      assert.ok(bicep.used.has(name), `${name} is not used`);
    }
    const descriptions = Object.entries<Value>(template.outputs)
      .map(([name, { metadata }]) => [name, metadata.description]);
    assert.deepEqual(
      descriptions,
      [...bicep.outputs].map(([name, { description }]) => [name, description]),
    );
  });

  it("let nobody in without a word: no restriction at all lets everybody in", () =>
    assert.equal(template.parameters.allowedNetworks.minLength, 1));

  it("hand out no secret", () => {
    for (const [name, parameters] of Object.entries(CASES)) {
      const secrets = Object.entries(parameters)
        .filter(([key]) => template.parameters[key].type === "securestring").map(([, v]) => v);
      const { outputs } = armDeployment(template, parameters);
      for (const secret of secrets) assert.ok(!JSON.stringify(outputs).includes(secret), name);
    }
  });

  it("are found to be wrong where they are", () => {
    const wrong = (change: (template: Value) => void) => {
      const changed = structuredClone(template);
      change(changed);
      return () => armDeployment(changed, CASES["with a queue"]!);
    };
    assert.throws(
      wrong(({ outputs }) => outputs.table.value = "[variables('tabelUrl')]"),
      /tabelUrl/,
    );
    assert.throws(
      wrong(({ outputs }) => outputs.table.value = "[format('{0}']"),
      /lacks/,
    );
    assert.throws(wrong(({ outputs }) => outputs.table.value = "[fromat('{0}', 1)]"), /fromat/);
    assert.throws(() => readBicep("param a string = 'x' + 'y'"), /not understood/);
  });
});

describe("the button of deploy/azure", () => {
  const page = read("README.md");

  it("leads to template and form of this version", () => {
    const metadata = read("../../package.json");
    const { version } = JSON.parse(metadata);
    const [, first, second] =
      /\(https:\/\/portal\.azure\.com\/#create\/Microsoft\.Template\/uri\/([^/\s]+)\/createUIDefinitionUri\/([^/\s)]+)\)/
        .exec(page) ?? [];
    const [address, other] = [first, second].map((part) => decodeURIComponent(part ?? ""));
    const begin = `https://raw.githubusercontent.com/${
      repositoryOf(metadata)
    }/v${version}/deploy/azure/`;
    assert.equal(address, `${begin}container-app.json`);
    assert.equal(other, `${begin}createUiDefinition.json`);
    const image = `ghcr.io/${repositoryOf(metadata).toLowerCase()}:${version}`;
    assert.equal(template.parameters.image.defaultValue, image);
  });

  it("has a page whose commands name parameters that there are", () => {
    const commands = [...page.matchAll(/^```sh\n([^]*?)^```$/gm)].map(([, command]) => command!);
    const named = commands.flatMap((command) =>
      [...command.matchAll(/[\s](\w+)=(?=\S)/g)].map(([, name]) => name!)
    );
    assert.ok(named.includes("hostname"));
    for (const name of named) assert.ok(name in template.parameters, name);
  });
});

/**
 * deploy/azure/createUiDefinition.json, the form in Azure's portal: its fields, and what it gives the template.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { QUEUE_KEY, SUBNET } from "./azure/cases.ts";
import type { Value } from "./azure/functions.ts";

const FOLDER = new URL("../../deploy/azure/", import.meta.url);
const read = (name: string) => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8"));
const template = read("container-app.json");
const form = read("createUiDefinition.json");

/**
 * What the portal's fields may have
 * (https://learn.microsoft.com/azure/azure-resource-manager/managed-applications/create-uidefinition-elements).
 */
const FIELDS: Record<string, { keys: string; constraints?: string }> = {
  "Microsoft.Common.TextBlock": { keys: "options visible" },
  "Microsoft.Common.CheckBox": {
    keys: "label toolTip constraints visible",
    constraints: "required",
  },
  "Microsoft.Common.FileUpload": {
    keys: "label toolTip constraints options visible",
    constraints: "required accept",
  },
  "Microsoft.Common.OptionsGroup": {
    keys: "label defaultValue toolTip constraints visible",
    constraints: "allowedValues required",
  },
  "Microsoft.Common.PasswordBox": {
    keys: "label toolTip constraints options visible",
    constraints: "required regex validationMessage",
  },
  "Microsoft.Common.TextBox": {
    keys: "label placeholder defaultValue toolTip constraints visible",
    constraints: "required regex validationMessage",
  },
};

describe("the form for the portal", () => {
  const { basics, steps, outputs } = form.parameters;
  const fields = new Map<string, Value>([
    ...basics.map((field: Value) => [`basics('${field.name}')`, field]),
    ...steps.flatMap(({ name, elements }: Value) =>
      elements.map((field: Value) => [`steps('${name}').${field.name}`, field])
    ),
  ]);

  it("has fields as the portal knows them", () => {
    assert.deepEqual(
      [form.handler, form.version, Object.keys(form.parameters).sort()],
      ["Microsoft.Azure.CreateUIDef", "0.1.2-preview", ["basics", "config", "outputs", "steps"]],
    );
    assert.ok(form.$schema.includes(`/${form.version}/`));
    assert.equal(
      fields.size,
      basics.length + steps.flatMap(({ elements }: Value) => elements).length,
    );
    for (const [name, { type, name: _, ...rest }] of fields) {
      const { keys, constraints = "" } = FIELDS[type] ?? {};
      assert.ok(keys !== undefined, `${name}: ${type}`);
      const words = (text: string) => text.split(" ");
      for (const key of Object.keys(rest)) {
        assert.ok(words(keys).includes(key), `${name}: ${key}`);
      }
      for (const key of Object.keys(rest.constraints ?? {})) {
        assert.ok(words(constraints).includes(key), `${name}: ${key}`);
      }
      if (rest.constraints?.regex !== undefined) {
        assert.ok(rest.constraints.validationMessage, name);
        new RegExp(rest.constraints.regex);
      }
    }
  });

  it("gives the template all parameters that it needs, and none that it does not have", () => {
    for (const name of Object.keys(outputs)) assert.ok(name in template.parameters, name);
    for (const [name, parameter] of Object.entries<Value>(template.parameters)) {
      assert.ok(name in outputs || parameter.defaultValue !== undefined, name);
    }
    const secure = (name: string) => template.parameters[name].type === "securestring";
    for (const [name, expression] of Object.entries<string>(outputs)) {
      const types = referencesIn(expression).map((field) => fields.get(field)!.type);
      const isHidden = types.some((type) => /\.(?:PasswordBox|FileUpload)$/.test(type));
      assert.equal(isHidden, secure(name), name);
    }
  });

  it("names only fields that it has, each of them used", () => {
    const used = new Set<string>();
    const texts = JSON.stringify(form.parameters).match(/"\[[^"]*\]"/g)!;
    for (const text of texts) {
      for (const field of referencesIn(text)) {
        assert.ok(fields.has(field), field);
        used.add(field);
      }
      assert.equal(text.split("(").length, text.split(")").length, text);
      for (const [, name] of text.matchAll(/(\w+)\(/g)) {
        assert.ok(["basics", "steps", "if", "equals", "split", "location"].includes(name!), text);
      }
    }
    for (const [name, { type }] of fields) {
      assert.ok(used.has(name) || type === "Microsoft.Common.TextBlock", `${name} is not used`);
    }
  });

  it("offers what it asks for: defaults are allowed, choices are those that are compared", () => {
    for (const [name, { type, defaultValue, constraints }] of fields) {
      if (type === "Microsoft.Common.OptionsGroup") {
        const labels = constraints.allowedValues.map(({ label }: Value) => label);
        assert.ok(labels.includes(defaultValue), name);
        const values = constraints.allowedValues.map(({ value }: Value) => value);
        const compared = JSON.stringify(form).matchAll(
          new RegExp(`equals\\(${name.replace(/[().]/g, "\\$&")}, '(\\w+)'\\)`, "g"),
        );
        for (const [, value] of compared) assert.ok(values.includes(value), `${name}: ${value}`);
      } else if (defaultValue !== undefined) {
        assert.match(defaultValue, new RegExp(constraints.regex), name);
        assert.match(defaultValue, /./, name);
      }
    }
    assert.match(QUEUE_KEY, new RegExp(fields.get("steps('queue').key").constraints.regex));
    assert.match(SUBNET, new RegExp(fields.get("steps('network').subnetId").constraints.regex));
    const { minLength, maxLength } = template.parameters.name;
    const regex = new RegExp(fields.get("basics('name')").constraints.regex);
    for (const [length, fits] of [[2, false], [minLength, true], [maxLength, true], [17, false]]) {
      assert.equal(regex.test("a".repeat(length)), fits, String(length));
    }
  });

  function referencesIn(expression: string): string[] {
    return expression.match(/(?:basics\('\w+'\)|steps\('\w+'\)\.\w+)/g) ?? [];
  }
});

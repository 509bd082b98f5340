/**
 * What a Bicep file deploys with given parameters. No compiler of Bicep is on npm or in Debian: this reads as
 * much of the language as deploy/azure uses
 * (https://learn.microsoft.com/azure/azure-resource-manager/bicep/file), and refuses the rest.
 */
import { deployed, FUNCTIONS, property, type Value } from "./functions.ts";

type Scope = ReadonlyMap<string, Value>;
/** An expression, to be evaluated where its names have values. */
type Expression = (scope: Scope) => Value;

interface Declared {
  readonly type: string;
  readonly apiVersion: string;
  readonly isExisting: boolean;
  readonly condition: Expression;
  readonly body: Expression;
  readonly nested: ReadonlyMap<string, Declared>;
}
interface Parameter {
  readonly type: string;
  readonly standard: Expression | undefined;
  readonly decorators: Readonly<Record<string, Value>>;
}
export interface BicepFile {
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly variables: ReadonlyMap<string, Expression>;
  readonly resources: ReadonlyMap<string, Declared>;
  readonly outputs: ReadonlyMap<string, Expression & { description?: string }>;
  /** Each name that is used. */
  readonly used: ReadonlySet<string>;
}

const TOKEN =
  /(?:\s|\/\/[^\n]*)*(?:('(?:[^'\\\n]|\\.)*')|(\d+)|([A-Za-z]\w*)|(::|[{}()[\]:,.?!=@])|$)/y;

export function readBicep(text: string): BicepFile {
  const tokens: string[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (match === null) throw new Error(`not understood: ${text.slice(from, from + 60)}`);
    const token = match[1] ?? match[2] ?? match[3] ?? match[4];
    if (token !== undefined) tokens.push(token);
  }
  let next = 0;
  const used = new Set<string>();
  const isNext = (token: string) => tokens[next] === token;
  function take(token?: string): string {
    const found = tokens[next++];
    if (found === undefined || token !== undefined && found !== token) {
      throw new Error(
        `"${found}" in place of "${token}" after ${tokens.slice(next - 8, next - 1)}`,
      );
    }
    return found;
  }
  function takeIf(token: string): boolean {
    if (!isNext(token)) return false;
    next++;
    return true;
  }
  const literal = (token: string) => token.slice(1, -1).replaceAll("\\'", "'");

  function expression(): Expression {
    const condition = unary();
    if (!takeIf("?")) return condition;
    const yes = expression();
    take(":");
    const no = expression();
    return (scope) => (condition(scope) ? yes : no)(scope);
  }
  function unary(): Expression {
    if (!takeIf("!")) return postfix();
    const value = unary();
    return (scope) => !value(scope);
  }
  function postfix(): Expression {
    let value = primary();
    for (;;) {
      const inner = value;
      if (takeIf(".")) {
        const name = take();
        value = (scope) => property(inner(scope), name);
      } else if (takeIf("::")) {
        const name = take();
        value = (scope) => property(inner(scope).nested, name);
      } else return value;
    }
  }
  function primary(): Expression {
    const token = take();
    if (token.startsWith("'")) return text_(token);
    if (/^\d/.test(token)) return () => Number(token);
    if (token === "true" || token === "false") return () => token === "true";
    if (token === "[") return array();
    if (token === "{") return object().body;
    if (token === "(") {
      const value = expression();
      take(")");
      return value;
    }
    if (!/^[A-Za-z]/.test(token)) throw new Error(`"${token}" begins no expression`);
    if (takeIf("(")) {
      const args: Expression[] = [];
      while (!takeIf(")")) {
        if (args.length > 0) take(",");
        args.push(expression());
      }
      return (scope) => property(FUNCTIONS, token)(...args.map((arg) => arg(scope)));
    }
    used.add(token);
    return (scope) => {
      if (!scope.has(token)) throw new Error(`${token} is not declared`);
      return scope.get(token);
    };
  }
  function text_(token: string): Expression {
    const parts = literal(token).split(/\$\{([^}]*)\}/);
    const expressions = parts.map((part, i) => i % 2 === 0 ? () => part : inserted(part));
    return (scope) => expressions.map((part) => String(part(scope))).join("");
  }
  function inserted(text: string): Expression {
    const { variables, used: names } = readBicep(`var x = ${text}`);
    for (const name of names) used.add(name);
    return variables.get("x")!;
  }
  function array(): Expression {
    if (takeIf("for")) {
      take("(");
      const item = take();
      take(",");
      const index = take();
      take(")");
      take("in");
      const list = expression();
      take(":");
      const value = expression();
      take("]");
      return (scope) =>
        list(scope).map((one: Value, i: number) =>
          value(new Map([...scope, [item, one], [index, i]]))
        );
    }
    const items: Expression[] = [];
    while (!takeIf("]")) {
      items.push(expression());
      takeIf(",");
    }
    return (scope) => items.map((item) => item(scope));
  }
  function object(): { body: Expression; nested: Map<string, [string, () => void]> } {
    const entries: [Expression, Expression][] = [];
    const nested = new Map();
    while (!takeIf("}")) {
      if (isNext("resource") && tokens[next + 1] !== ":") {
        next++;
        const name = take();
        nested.set(name, resource());
        continue;
      }
      const key = take();
      const name = key.startsWith("'") ? text_(key) : () => key;
      take(":");
      entries.push([name, expression()]);
      takeIf(",");
    }
    return {
      body: (scope) =>
        Object.fromEntries(entries.map(([key, value]) => [key(scope), value(scope)])),
      nested,
    };
  }
  function resource(): Declared {
    const [type = "", apiVersion = ""] = literal(take()).split("@");
    const isExisting = takeIf("existing");
    take("=");
    let condition: Expression = () => true;
    if (takeIf("if")) {
      take("(");
      condition = expression();
      take(")");
    }
    take("{");
    const { body, nested } = object();
    return {
      type,
      apiVersion,
      isExisting,
      condition,
      body,
      nested: nested as unknown as ReadonlyMap<string, Declared>,
    };
  }

  const parameters = new Map<string, Parameter>();
  const variables = new Map<string, Expression>();
  const resources = new Map<string, Declared>();
  const outputs = new Map<string, Expression & { description?: string }>();
  let decorators: Record<string, Value> = {};
  while (next < tokens.length) {
    const word = take();
    if (word === "@") {
      const name = take();
      take("(");
      decorators[name] = isNext(")") ? true : expression()(new Map());
      take(")");
      continue;
    }
    const name = take();
    if ([parameters, variables, resources].some((names) => names.has(name))) {
      throw new Error(`${name} is declared twice`);
    }
    if (word === "param") {
      const type = take();
      parameters.set(name, { type, standard: takeIf("=") ? expression() : undefined, decorators });
    } else if (word === "var") {
      take("=");
      variables.set(name, expression());
    } else if (word === "resource") resources.set(name, resource());
    else if (word === "output") {
      take();
      take("=");
      outputs.set(name, Object.assign(expression(), { description: decorators["description"] }));
    } else throw new Error(`"${word}" is no declaration`);
    decorators = {};
  }
  return { parameters, variables, resources, outputs, used };
}

/** As `armDeployment` has them, so that both can be compared. */
export function bicepDeployment(file: BicepFile, given: Readonly<Record<string, Value>>) {
  const scope = new Map<string, Value>();
  for (const [name, { standard }] of file.parameters) {
    if (!(name in given) && standard === undefined) throw new Error(`${name} is not given`);
    scope.set(name, name in given ? given[name] : standard!(scope));
  }
  for (const [name, value] of file.variables) scope.set(name, value(scope));
  const resources: Value[] = [];

  function add(declared: Declared, parent: Value): Value {
    const { type, apiVersion, isExisting, condition, body, nested } = declared;
    const { parent: named, scope: place, dependsOn, ...rest } = body(scope);
    const above = parent ?? named;
    const whole = above === undefined || named !== undefined ? type : `${above.type}/${type}`;
    const name = above === undefined ? rest.name : `${above.name}/${rest.name}`;
    const resource = {
      ...rest,
      type: whole,
      apiVersion: apiVersion || above.apiVersion,
      name,
      ...(place === undefined ? {} : { scope: place.id }),
    };
    for (const predecessor of dependsOn ?? []) property(predecessor, "id");
    const id = place === undefined
      ? FUNCTIONS["resourceId"]!(whole, ...name.split("/"))
      : FUNCTIONS["extensionResourceId"]!(place.id, whole, ...name.split("/"));
    if (!isExisting && condition(scope)) resources.push(resource);
    const symbol: Value = { id, name, type: whole, apiVersion: resource.apiVersion, nested: {} };
    Object.defineProperty(symbol, "properties", { enumerable: true, get: () => deployed(id) });
    for (const [inner, child] of nested) symbol.nested[inner] = add(child, symbol);
    return symbol;
  }

  for (const [name, declared] of file.resources) scope.set(name, add(declared, undefined));
  const outputs = Object.fromEntries(
    [...file.outputs].map(([name, value]) => [name, value(scope)]),
  );
  return { resources, outputs };
}

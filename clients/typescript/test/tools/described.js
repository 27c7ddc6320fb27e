/** Types of TypeScript out of the schemas of docs/asyncapi.yaml and docs/openapi.yaml. */

import { readFileSync } from "node:fs";
import { load } from "./packages.js";

const { parse } = await load("yaml");

const DOCS = new URL("../../../../docs/", import.meta.url);

export const described = (name) => parse(readFileSync(new URL(name, DOCS), "utf8"));

/** `$ref`s become names. */
export function typeOf(schema) {
  if (schema === true) return "unknown";
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.oneOf) return union(schema.oneOf.map(typeOf));
  if (schema.allOf) return schema.allOf.map((part) => `(${typeOf(part)})`).join(" & ");
  if (Array.isArray(schema.type)) return union(schema.type.map((type) => typeOf({ ...schema, type })));
  switch (schema.type) {
    case "integer":
    case "number":
      return "number";
    case "string":
    case "boolean":
    case "null":
      return schema.type;
    case "array":
      return `(${typeOf(schema.items)})[]`;
  }
  if (schema.properties) {
    const required = schema.required ?? [];
    const keys = Object.entries(schema.properties).map(([key, value]) => `${key}${required.includes(key) ? "" : "?"}: ${typeOf(value)};`);
    return `{ ${keys.join(" ")} }`;
  }
  return schema.type === "object" ? "Record<string, unknown>" : "unknown";
}

const union = (types) => types.map((type) => `(${type})`).join(" | ");

/** The payloads of an operation by their `action`. */
export function payloads(document, operation) {
  const at = (ref) => ref.slice(2).split("/").reduce((node, key) => node[key], document);
  const messages = document.operations[operation].messages.map(({ $ref }) => at(at($ref).$ref));
  return new Map(messages.map(({ payload }) => [actionOf(payload), payload]));
}

/** An `allOf` has its action in one of its parts. */
const actionOf = ({ properties, allOf }) => properties?.action?.const ?? allOf?.map(actionOf).find((action) => action);

import { z } from 'zod'
import { errorReply, itemOf, LINES_TYPE, REVISION_HEADER } from './common.ts'
import type { Route } from './route.ts'
import { api } from './routes.ts'

type Json = Record<string, unknown>

/** An OpenAPI 3.1 document; its schemas are JSON Schema 2020-12, as zod writes them. */
export interface OpenApiDocument {
  readonly openapi: '3.1.0'
  readonly info: Json
  readonly security: readonly Json[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Json>>>>
  readonly components: { readonly securitySchemes: Json; readonly schemas: Json }
}

/**
 * Describes the routes for programs that are not ours (ours infer types from the routes themselves). Pure: the same routes
 * give the same text. Schemas with `.meta({ id })` become components under that id.
 */
export function openApiDocument(
  routes: Readonly<Record<string, Route>>,
  about: { title: string; version: string },
): OpenApiDocument {
  const components = new Components()
  const paths: Record<string, Record<string, Json>> = {}
  for (const [name, route] of Object.entries(routes)) {
    const path = (paths[route.path.replaceAll(/:(\w+)/g, '{$1}')] ??= {})
    path[route.method.toLowerCase()] = operationOf(name, route, components)
  }
  return {
    openapi: '3.1.0',
    info: about,
    security: [{ token: [] }],
    paths,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
      schemas: components.sorted(),
    },
  }
}

/** The content of contracts/openapi.json. `node tools/emit-openapi.ts` writes it, a test holds it equal. */
export function openApiText(): string {
  return `${JSON.stringify(openApiDocument(api, { title: 'Nubo', version: 'v1' }), null, 2)}\n`
}

function operationOf(name: string, route: Route, components: Components): Json {
  const parameters = [
    ...parametersOf(route.params, 'path', components),
    ...parametersOf(route.query, 'query', components),
  ]
  return {
    operationId: name,
    summary: route.summary,
    tags: [route.path.split('/')[2] ?? ''],
    'x-access': route.access,
    ...(route.access === 'public' ? { security: [] } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...requestBodyOf(route, components),
    responses: {
      [String(route.status)]: {
        description: route.status === 202 ? 'An operation that has begun.' : 'Done.',
        ...repliesOf(route, components),
      },
      default: {
        description: 'An error of the catalogue; its kind decides the status.',
        content: { 'application/json': { schema: components.schemaOf(errorReply) } },
      },
    },
  }
}

function repliesOf(route: Route, components: Components): Json {
  const schema = components.schemaOf(route.reply)
  switch (route.form) {
    case 'events':
      return { content: { 'text/event-stream': { schema } } }
    case 'list':
      return {
        headers: {
          [REVISION_HEADER]: {
            description: `With ${LINES_TYPE}: the revision at which all items are told.`,
            schema: { type: 'integer' },
          },
        },
        content: {
          'application/json': { schema },
          [LINES_TYPE]: {
            schema: components.schemaOf(itemOf(route.reply)),
          },
        },
      }
    default:
      return { content: { 'application/json': { schema } } }
  }
}

function requestBodyOf(route: Route, components: Components): Json {
  if (route.form === 'upload') {
    const content = { 'application/octet-stream': { schema: {} } }
    return { requestBody: { required: true, content } }
  }
  if (route.body === undefined) return {}
  const content = { 'application/json': { schema: components.schemaOf(route.body) } }
  return { requestBody: { required: true, content } }
}

function parametersOf(
  schema: z.ZodType | undefined,
  where: 'path' | 'query',
  components: Components,
): Json[] {
  if (schema === undefined) return []
  const { properties = {}, required = [] } = components.schemaOf(schema)
  if (!isJson(properties) || !Array.isArray(required))
    throw new Error(`a ${where} is described by an object`)
  return Object.entries(properties).map(([name, property]) => ({
    name,
    in: where,
    required: where === 'path' || required.includes(name),
    schema: property,
  }))
}

/** Named schemas, met while routes are described. */
class Components {
  readonly #schemas = new Map<string, unknown>()

  /**
   * The schema as it stands in the document. `input` on both ways: what goes over the wire is what the receiver has not
   * parsed yet; defaults are still absent, and a newer server may add fields to replies.
   */
  schemaOf(schema: z.ZodType): Json {
    const { $schema: _dialect, $defs = {}, ...own } = z.toJSONSchema(schema, { io: 'input' })
    for (const [name, definition] of Object.entries($defs)) this.#add(name, rewritten(definition))
    const top = rewritten(own)
    const name = schema.meta()?.id
    if (!isJson(top)) throw new Error('a schema is an object')
    if (name === undefined || '$ref' in top) return top
    this.#add(name, top)
    return { $ref: `#/components/schemas/${name}` }
  }

  sorted(): Json {
    return Object.fromEntries([...this.#schemas].toSorted(([a], [b]) => (a < b ? -1 : 1)))
  }

  #add(name: string, schema: unknown): void {
    const before = this.#schemas.get(name)
    if (before !== undefined && JSON.stringify(before) !== JSON.stringify(schema))
      throw new Error(`two schemas are called ${name}`)
    this.#schemas.set(name, schema)
  }
}

/** zod names definitions `#/$defs/Name`, a document `#/components/schemas/Name`. */
function rewritten(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rewritten)
  if (!isJson(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      // The `id` of a schema is a text; a property that is called id is a schema.
      .filter(([key, inner]) => key !== 'id' || typeof inner !== 'string')
      .map(([key, inner]) =>
        key === '$ref' && typeof inner === 'string'
          ? [key, inner.replace('#/$defs/', '#/components/schemas/')]
          : [key, rewritten(inner)],
      ),
  )
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

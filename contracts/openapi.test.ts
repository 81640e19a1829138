// Proves that contracts/openapi.json describes the routes as they are, and that other programs can read it.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { z } from 'zod'
import { api } from './public/routes.ts'
import { openApiDocument, openApiText } from './public/openapi.ts'
import { defineRoute, type Route } from './public/route.ts'

const document = openApiDocument(api, { title: 'test', version: '1' })
const routes: [string, Route][] = Object.entries(api)

interface Operation {
  operationId: string
  summary: string
  'x-access': string
  security?: unknown[]
  parameters?: { name: string; in: string; required: boolean; schema: object }[]
  requestBody?: { content: Record<string, { schema: object }> }
  responses: Record<string, { content: Record<string, { schema: object }> }>
}

function operationOf(route: Route): Operation {
  const path = route.path.replaceAll(/:(\w+)/g, '{$1}')
  const operation = document.paths[path]?.[route.method.toLowerCase()]
  assert.ok(operation, `${route.method} ${path} is missing`)
  return operation as unknown as Operation // proof: the form that the tests below check
}

test('the committed document is what the routes say; else: node tools/emit-openapi.ts', () => {
  const committed = readFileSync(new URL('openapi.json', import.meta.url), 'utf8')
  assert.ok(
    committed === openApiText(),
    'contracts/openapi.json is old: node tools/emit-openapi.ts',
  )
})

test('every route is there once, with summary, access, reply and error reply', () => {
  const seen = new Set<string>()
  for (const [name, route] of routes) {
    const operation = operationOf(route)
    assert.equal(operation.operationId, name)
    assert.match(operation.summary, /^[A-Z].*\.$/, `${name}: a summary is a sentence`)
    assert.equal(operation['x-access'], route.access)
    assert.ok(operation.responses[String(route.status)], `${name} has a reply`)
    assert.deepEqual(operation.responses['default']?.content['application/json']?.schema, {
      $ref: '#/components/schemas/Error',
    })
    assert.ok(!seen.has(operation.operationId))
    seen.add(operation.operationId)
  }
  const described = Object.values(document.paths).flatMap((methods) => Object.keys(methods))
  assert.equal(described.length, routes.length)
})

test('every part of a path is a required parameter, and bodies stand where they may', () => {
  for (const [name, route] of routes) {
    const operation = operationOf(route)
    const inPath = [...route.path.matchAll(/:(\w+)/g)].map((match) => match[1])
    const declared = (operation.parameters ?? []).filter((one) => one.in === 'path')
    assert.deepEqual(new Set(declared.map((one) => one.name)), new Set(inPath), name)
    assert.ok(declared.every((one) => one.required))
    if (route.method === 'GET') assert.equal(operation.requestBody, undefined, name)
    const hasBody = route.body !== undefined || route.form === 'upload'
    assert.equal(operation.requestBody !== undefined, hasBody, name)
  }
})

test('every query field of a route is a parameter, one called id too', () => {
  for (const [name, route] of routes) {
    if (!(route.query instanceof z.ZodObject)) continue
    const declared = (operationOf(route).parameters ?? []).filter((one) => one.in === 'query')
    assert.deepEqual(
      declared.map((one) => one.name).toSorted(),
      Object.keys(route.query.shape).toSorted(),
      name,
    )
  }
})

test('every reference leads to a component, every component is referred to', () => {
  const text = JSON.stringify(document)
  const referred = new Set([...text.matchAll(/"\$ref":"([^"]+)"/g)].map((match) => match[1]))
  const components = Object.keys(document.components.schemas)
  assert.deepEqual(referred, new Set(components.map((name) => `#/components/schemas/${name}`)))
  for (const name of components) assert.match(name, /^[A-Z][A-Za-z0-9]*$/)
  assert.doesNotMatch(text, /\$defs|\$schema/)
})

test('two schemas of one name are refused', () => {
  const one = (reply: z.ZodType, path: string): Route =>
    defineRoute({ method: 'GET', path, summary: 'Shows.', access: 'token', reply, status: 200 })
  const first = z.object({ reason: z.string() }).meta({ id: 'PlantedTwice' })
  const second = z.object({ reason: z.number() }).meta({ id: 'PlantedTwice' })
  const about = { title: '', version: '' }
  assert.ok(openApiDocument({ a: one(first, '/a'), again: one(first, '/again') }, about))
  assert.throws(
    () => openApiDocument({ a: one(first, '/a'), b: one(second, '/b') }, about),
    /two schemas are called PlantedTwice/,
  )
})

test('a route for nobody in particular needs no token', () => {
  const open = defineRoute({
    method: 'GET',
    path: '/v1/open',
    summary: 'Shows.',
    access: 'public',
    reply: z.object({}),
    status: 200,
  })
  const { paths } = openApiDocument({ open }, { title: '', version: '' })
  assert.deepEqual(paths['/v1/open']?.['get']?.['security'], [])
})

// Proves that clients and servers of the previous release and of this one understand each other in every call that both
// have: older requests are taken, and neither misses a field in the other's replies.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { run } from '@nubo/runtime'
import { contractChanges, type ApiDocument } from './contract-changes.ts'
import { unpackPreviousRelease } from './release.ts'

const presentFile = new URL('../../contracts/openapi.json', import.meta.url).pathname

// proof: both are written by `openApiText`, which gives at least this shape
const documentOf = (text: string) => JSON.parse(text) as ApiDocument

test('the public contract of the previous release still works with this one, in both directions', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'nt-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  unpackPreviousRelease(folder)
  const program = `process.stdout.write((await import('${folder}/contracts/public/openapi.ts')).openApiText())`
  const { stdout } = await run({
    argv: [process.execPath, '--input-type=module', '-e', program],
    timeoutMs: 30_000,
    outputBytesMax: 16 * 2 ** 20,
  })
  const present = documentOf(readFileSync(presentFile, 'utf8'))
  assert.deepEqual(contractChanges(documentOf(stdout), present), [])
})

test('a call, a parameter, a field or a value that the other release cannot do with is found', () => {
  const thing = (properties: object, required: string[]) => ({ properties, required })
  const document = (parts: {
    parameters?: object[]
    body?: object
    reply?: object
    path?: string
  }): ApiDocument =>
    documentOf(
      JSON.stringify({
        paths: {
          [parts.path ?? '/v1/things']: {
            post: {
              operationId: 'thing',
              parameters: parts.parameters ?? [],
              requestBody: { content: { json: { schema: parts.body ?? thing({ a: {} }, ['a']) } } },
              responses: {
                200: { content: { json: { schema: { $ref: '#/components/schemas/Thing' } } } },
                default: { content: {} },
              },
            },
          },
        },
        components: {
          schemas: { Thing: parts.reply ?? thing({ id: {}, at: { enum: ['x'] } }, ['id']) },
        },
      }),
    )
  const before = document({})
  const changesTo = (parts: Parameters<typeof document>[0]) =>
    contractChanges(before, document(parts))
  assert.deepEqual(changesTo({}), [])
  assert.match(changesTo({ path: '/v1/others' })[0] ?? '', /is gone/)
  assert.match(changesTo({ parameters: [{ name: 'p', required: true }] })[0] ?? '', /is required/)
  assert.match(changesTo({ body: thing({ b: {} }, []) })[0] ?? '', /a is unknown/)
  assert.match(changesTo({ body: thing({ a: {}, b: {} }, ['b']) })[0] ?? '', /b is required/)
  assert.match(
    changesTo({ reply: thing({ id: {}, at: { enum: ['x'] }, by: {} }, ['by']) })[0] ?? '',
    /by is required/,
  )
  assert.match(
    changesTo({ reply: thing({ at: { enum: ['x'] } }, []) })[0] ?? '',
    /id is required/,
    'an older client misses it',
  )
  assert.match(
    changesTo({ reply: thing({ id: {}, at: { enum: ['y'] } }, ['id']) })[0] ?? '',
    /x is no longer understood/,
  )
  const nullable = (required: string[]) =>
    thing({ id: {}, why: { anyOf: [thing({ a: {}, b: {} }, required), { type: 'null' }] } }, ['id'])
  assert.match(
    contractChanges(
      document({ reply: thing({ id: {}, why: thing({ a: {} }, []) }, ['id']) }),
      document({ reply: nullable(['b']) }),
    )[0] ?? '',
    /why: b is required/,
  )
  assert.deepEqual(changesTo({ reply: thing({ id: {}, at: { enum: ['x', 'y'] } }, ['id']) }), [])
})

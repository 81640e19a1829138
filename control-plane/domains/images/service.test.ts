// Proves what an import leaves behind when it fails half-way: nothing that a recorded image needs is taken away.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { isPlatformError, PlatformError } from '@nubo/base'
import { systemClock, systemRandom } from '@nubo/runtime'
import { MemoryRegistry } from '../../../tests/support/memory-registry.ts'
import { rootfsTar } from '../../../tests/support/tar.ts'
import { tokenRow } from '../../host-sessions/testing/rows.ts'
import { World, type Recorder } from '../../world/index.ts'
import { createImageService } from './service.ts'

const signal = new AbortController().signal

function openService(context: TestContext, deps: { write: Recorder['write']; held?: AbortSignal }) {
  const parent = mkdtempSync(join(tmpdir(), 'nt-img-'))
  context.after(() => rmSync(parent, { recursive: true, force: true }))
  const registry = new MemoryRegistry()
  const folder = join(parent, 'uploads')
  const service = createImageService({
    world: new World(systemClock),
    recorder: { write: deps.write },
    clock: systemClock,
    random: systemRandom,
    registry,
    tokens: { issue: () => ({ token: '', expiresAtMs: 0 }) },
    lock: {
      whileImporting: (work) => work(deps.held ?? signal),
      whileCollecting: () => Promise.resolve(false),
    },
    folder,
  })
  const { id: tokenId, projectId } = tokenRow()
  const caller = {
    tokenId,
    tokenName: 'dev',
    accountId: null,
    role: 'member' as const,
    project: projectId ?? undefined,
  }
  const importWeb = () =>
    service.importImage(caller, { name: 'web' }, { body: Readable.from([rootfsTar()]), signal })
  return { registry, folder, importWeb }
}

const refuse = (error: unknown) => (): Promise<never> => Promise.reject(error)

test('an import whose record may have been committed all the same keeps its manifest', async (t) => {
  const late = new PlatformError('DEADLINE_EXCEEDED', { waitedFor: 'revision 7' })
  const { registry, folder, importWeb } = openService(t, { write: refuse(late) })
  await assert.rejects(importWeb(), (error) => isPlatformError(error, 'DEADLINE_EXCEEDED'))
  assert.equal(registry.manifests.size, 1)
  assert.deepEqual(readdirSync(folder), [])
})

test('an import that the tables refuse takes its manifest back', async (t) => {
  const taken = Object.assign(new Error('duplicate key'), {
    code: '23505',
    constraint: 'image_name',
  })
  const { registry, importWeb } = openService(t, { write: refuse(taken) })
  await assert.rejects(importWeb(), (error) => isPlatformError(error, 'NAME_TAKEN'))
  assert.equal(registry.manifests.size, 0)
})

test('an import that lost the lock is not recorded', async (t) => {
  const lost = AbortSignal.abort(new PlatformError('DATABASE_UNAVAILABLE'))
  let writes = 0
  const write = () => {
    writes++
    return Promise.reject(new Error('not to be called'))
  }
  const { importWeb } = openService(t, { write, held: lost })
  await assert.rejects(importWeb())
  assert.equal(writes, 0)
})

test('imports that cannot even begin do not use up the places of others', async (t) => {
  const { folder, importWeb } = openService(t, { write: refuse(new Error('as expected')) })
  writeFileSync(folder, 'in the way')
  for (let attempt = 0; attempt < 8; attempt++)
    await assert.rejects(importWeb(), (error) => !isPlatformError(error, 'TOO_MANY_REQUESTS'))
  rmSync(folder)
  await assert.rejects(importWeb(), /as expected/)
})

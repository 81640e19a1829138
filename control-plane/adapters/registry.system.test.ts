// Proves, on Debian's docker-registry: what we configure, push, grant and collect is what it does.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, before, test } from 'node:test'
import { isPlatformError, sleep } from '@nubo/base'
import { start, systemClock, systemRandom, type RunningProgram } from '@nubo/runtime'
import {
  createRegistryTokens,
  type ImageRegistry,
  type RegistryTokens,
} from '../domains/images/index.ts'
import { openCertificateAuthority } from './certificates.ts'
import { writeRegistryConfig } from './registry-config.ts'
import { createRegistryClient } from './registry.ts'

const folder = mkdtempSync(join(tmpdir(), 'nt-reg-'))
const storageDir = join(folder, 'storage')
const signal = new AbortController().signal
const MEDIA_TYPE = 'application/vnd.docker.distribution.manifest.v2+json'
let program: RunningProgram
let registry: ImageRegistry
let tokens: RegistryTokens
let address: string
let caPem: string

before(async () => {
  const stored = new Map<string, string>()
  const secrets = {
    get: (name: string) => Promise.resolve(stored.get(name)),
    putIfAbsent: async (name: string, make: () => Promise<string>) => {
      const value = stored.get(name) ?? (await make())
      stored.set(name, value)
      return value
    },
  }
  const deps = { secrets, clock: systemClock, random: systemRandom }
  const certificates = await openCertificateAuthority({ ...deps, region: 'test' })
  address = `127.0.0.1:${await freePort()}`
  const configFile = join(folder, 'registry.yml')
  await writeRegistryConfig({ configFile, address, storageDir, certificates })
  program = start({ argv: ['docker-registry', 'serve', configFile], logFile: join(folder, 'log') })
  tokens = createRegistryTokens({
    ...(await certificates.registrySigner()),
    clock: systemClock,
    random: systemRandom,
  })
  caPem = certificates.caPem
  registry = createRegistryClient({ address, caPem, tokens, configFile, storageDir })
  await untilItAnswers()
})

after(async () => {
  await program.stop({ graceMs: 1_000 })
  rmSync(folder, { recursive: true, force: true })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // proof: it listens on TCP
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function untilItAnswers(): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await registry.hasBlob('any/thing', digestOf(Buffer.from('x')))
      return
    } catch (error) {
      if (attempt > 100)
        throw new Error(readFileSync(join(folder, 'log'), 'utf8'), { cause: error })
      await sleep(systemClock, 50)
    }
  }
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** A whole small image; returns the digests of its layer and of its manifest. */
async function push(
  repository: string,
  content: string,
): Promise<{ layer: string; manifest: string }> {
  const layer = Buffer.from(content)
  const config = Buffer.from(JSON.stringify({ of: content }))
  for (const bytes of [layer, config]) {
    const blob = {
      digest: digestOf(bytes),
      sizeBytes: bytes.length,
      open: () => Readable.from([bytes]),
    }
    await registry.putBlob(repository, blob, signal)
    await registry.putBlob(repository, blob, signal)
  }
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE,
    config: {
      mediaType: 'application/vnd.docker.container.image.v1+json',
      size: config.length,
      digest: digestOf(config),
    },
    layers: [
      {
        mediaType: 'application/vnd.docker.image.rootfs.diff.tar',
        size: layer.length,
        digest: digestOf(layer),
      },
    ],
  })
  return {
    layer: digestOf(layer),
    manifest: await registry.putManifest(repository, { mediaType: MEDIA_TYPE, text }, signal),
  }
}

function call(method: string, path: string, token: string | undefined): Promise<number> {
  const [host, port] = address.split(':')
  return new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    request({ host, port, method, path, ca: caPem, headers }, (reply) => {
      reply.resume()
      resolve(reply.statusCode ?? 0)
    })
      .on('error', reject)
      .end()
  })
}

test('a pull token opens one repository, for reading only', async () => {
  const mine = await push('project-a/web', 'layer of a')
  const other = await push('project-b/web', 'layer of b')
  const { token } = tokens.issue({
    subject: 'h1',
    repository: 'project-a/web',
    actions: ['pull'],
    validityMs: 60_000,
  })
  assert.equal(await call('GET', `/v2/project-a/web/manifests/${mine.manifest}`, token), 200)
  assert.equal(await call('GET', `/v2/project-b/web/manifests/${other.manifest}`, token), 401)
  assert.equal(await call('POST', '/v2/project-a/web/blobs/uploads/', token), 401)
  assert.equal(await call('DELETE', `/v2/project-a/web/manifests/${mine.manifest}`, token), 401)
  assert.equal(await call('GET', '/v2/project-a/web/tags/list', undefined), 401)
})

test('a token that has expired, or that another key signed, opens nothing', async () => {
  const { manifest } = await push('project-a/web', 'layer of a')
  const path = `/v2/project-a/web/manifests/${manifest}`
  const asked = { subject: 'h1', repository: 'project-a/web', actions: ['pull'] as const }
  assert.equal(await call('GET', path, tokens.issue({ ...asked, validityMs: -120_000 }).token), 401)
  const { token } = tokens.issue({ ...asked, validityMs: 60_000 })
  const forged = token.slice(0, -4) + (token.endsWith('AAAA') ? 'BBBB' : 'AAAA')
  assert.equal(await call('GET', path, forged), 401)
})

test('the collection removes what no image names, and nothing else', async () => {
  const kept = await push('project-a/kept', 'this stays')
  const gone = await push('project-a/gone', 'this goes')
  await registry.deleteManifest('project-a/gone', gone.manifest)
  await registry.deleteManifest('project-a/gone', gone.manifest)
  const unknown = await push('project-a/unknown/id', 'nobody recorded this')
  await registry.collectGarbage(new Set(['project-a/kept', 'project-a/gone']), signal)
  const fileOf = (digest: string): string =>
    join(storageDir, 'docker/registry/v2/blobs/sha256', digest.slice(7, 9), digest.slice(7), 'data')
  assert.ok(existsSync(fileOf(kept.layer)))
  assert.ok(!existsSync(fileOf(gone.layer)))
  assert.ok(!existsSync(fileOf(unknown.layer)))
  assert.equal(await registry.hasBlob('project-a/kept', kept.layer), true)
  // The same image can come again.
  assert.equal((await push('project-a/gone', 'this goes')).manifest, gone.manifest)
  assert.ok(existsSync(fileOf(gone.layer)))
})

test('a blob that is not what its digest says is refused', async () => {
  const bytes = Buffer.from('not what it says')
  const blob = {
    digest: digestOf(Buffer.from('another')),
    sizeBytes: bytes.length,
    open: () => Readable.from([bytes]),
  }
  await assert.rejects(registry.putBlob('project-a/web', blob, signal), (error) =>
    isPlatformError(error, 'REGISTRY_UNAVAILABLE'),
  )
})

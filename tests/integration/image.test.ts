import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Client } from '@nubo/client'
import type { Image } from '@nubo/contracts'
import { joinHost } from '../support/hosts.ts'
import {
  done,
  everywhere,
  importRootfs,
  makeNetwork,
  makeProject,
  setOf,
} from '../support/project.ts'
import { refusal } from '../support/refusal.ts'
import { TestRegion } from '../support/region.ts'
import { dockerArchive, ociLayout, rootfsTar, sha256, tarOf } from '../support/tar.ts'
import { waitUntil } from '../support/wait.ts'

function importFile(
  client: Client,
  name: string,
  content: Uint8Array,
  more: { digest?: string; command?: string[] } = {},
): Promise<Image> {
  return client.imageImport({
    query: { name, ...more },
    open: async function* () {
      const STEP_BYTES = 65_536
      for (let at = 0; at < content.length; at += STEP_BYTES)
        yield content.subarray(at, at + STEP_BYTES)
    },
  })
}

test('every kind of archive becomes an image, is listed on both servers, used, and removed', async (t) => {
  const region = await TestRegion.open(t)
  const { member, viewer } = await makeProject(region, 'shop')
  const uploads = (): string[] => readdirSync(join(region.folder, 'uploads'))

  await t.test('a root file system, with a command and a digest that is checked', async () => {
    const content = rootfsTar()
    const image = await importFile(member, 'plain', content, {
      digest: `sha256:${sha256(content)}`,
      command: ['/bin/busybox', 'httpd'],
    })
    assert.equal(image.source, 'rootfs')
    assert.equal(image.layers, 1)
    assert.equal(image.sizeBytes, content.length)
    assert.deepEqual(image.command, ['/bin/busybox', 'httpd'])
    assert.equal(image.usedBy, 0)
    assert.ok(region.registry.manifests.has(`${image.repository}@${image.digest}`))
    assert.deepEqual(uploads(), [])
  })

  await t.test('the same in gzip has the same layer', async () => {
    const image = await importFile(member, 'zipped', gzipSync(rootfsTar()))
    assert.equal(image.source, 'rootfs')
    assert.deepEqual(image.command, ['/bin/sh'])
    assert.ok(region.registry.blobs.has(`${image.repository}@sha256:${sha256(rootfsTar())}`))
  })

  await t.test('what docker save wrote, with its layers and its command', async () => {
    const layers = [rootfsTar('base'), tarOf([{ name: 'app/main', content: 'x' }])]
    const image = await importFile(member, 'docker', dockerArchive(layers))
    assert.equal(image.source, 'docker-archive')
    assert.equal(image.layers, 2)
    assert.deepEqual(image.command, ['/bin/entry', 'serve'])
    for (const layer of layers)
      assert.ok(region.registry.blobs.has(`${image.repository}@sha256:${sha256(layer)}`))
  })

  await t.test('an OCI layout with gzip layers', async () => {
    const layer = tarOf([{ name: 'app/oci', content: 'y' }])
    const image = await importFile(member, 'oci', ociLayout([gzipSync(layer)]))
    assert.equal(image.source, 'oci-layout')
    assert.deepEqual(image.command, ['/bin/oci'])
    assert.ok(region.registry.blobs.has(`${image.repository}@sha256:${sha256(layer)}`))
  })

  await t.test('both servers show them', async () => {
    await everywhere(region)
    for (const server of region.servers) {
      const list = await region.client(region.operatorToken, [server]).imageList({
        query: { project: 'shop' },
      })
      assert.deepEqual(
        list.items.map(({ name }) => name),
        ['plain', 'zipped', 'docker', 'oci'],
      )
    }
    assert.equal((await viewer.imageShow({ params: { id: 'oci' } })).name, 'oci')
  })

  await t.test('a taken name is refused, before anything is read', async () => {
    const error = await refusal(importRootfs(member, 'plain'), 'NAME_TAKEN')
    assert.equal(error.details['name'], 'plain')
  })

  await t.test(
    'of two imports that race for one name one wins, and the loser harms nothing',
    async () => {
      const manifestsBefore = region.registry.manifests.size
      const outcomes = await Promise.allSettled(
        region.servers.map((server, at) =>
          importRootfs(region.client(region.operatorToken, [server]), 'race', `racer ${at}`),
        ),
      )
      const won = outcomes.flatMap((outcome) =>
        outcome.status === 'fulfilled' ? [outcome.value] : [],
      )
      const lost = outcomes.flatMap((outcome) =>
        outcome.status === 'rejected' ? [outcome.reason] : [],
      )
      assert.equal(won.length, 1)
      assert.equal(lost[0]?.code, 'NAME_TAKEN')
      assert.equal(
        region.registry.manifests.size,
        manifestsBefore + 1,
        'nothing of the loser is kept',
      )
      assert.ok(region.registry.manifests.has(`${won[0]?.repository}@${won[0]?.digest}`))
    },
  )

  await t.test('an image that a set uses stays; the last use frees it', async () => {
    await joinHost(region, { name: 'host-1' })
    await makeNetwork(member, 'net')
    const create = { ...setOf('web'), containers: [{ name: 'main', image: 'plain' }] }
    await done(member, await member.setCreate({ body: create }))
    assert.equal((await member.imageShow({ params: { id: 'plain' } })).usedBy, 1)
    await refusal(member.imageRemove({ params: { id: 'plain' } }), 'IN_USE')
    await done(member, await member.setRemove({ params: { id: 'web' } }))
    const image = await member.imageRemove({ params: { id: 'plain' } })
    assert.ok(!region.registry.manifests.has(`${image.repository}@${image.digest}`))
    await refusal(member.imageShow({ params: { id: 'plain' } }), 'NOT_FOUND')
    await importRootfs(member, 'plain', 'anew')
  })

  await t.test('an image cannot go while a set that takes it is being created', async () => {
    for (let round = 0; round < 8; round++) {
      const name = `pull-${round}`
      await importRootfs(member, name, name)
      await everywhere(region)
      const [created, removed] = await Promise.allSettled([
        region.via(0).setCreate({
          query: { project: 'shop' },
          body: { ...setOf(name), containers: [{ name: 'main', image: name }] },
        }),
        region.via(1).imageRemove({ query: { project: 'shop' }, params: { id: name } }),
      ])
      const statuses = [created.status, removed.status]
      assert.deepEqual(statuses.toSorted(), ['fulfilled', 'rejected'], `round ${round}`)
    }
  })
})

test('what is no sound image is refused with the reason, and leaves nothing on the server', async (t) => {
  const region = await TestRegion.open(t)
  const { member, tokens } = await makeProject(region, 'shop')
  const uploads = (): string[] => readdirSync(join(region.folder, 'uploads'))
  const file = (name: string, more: object = {}) => tarOf([{ name, content: 'x', ...more }])
  const layer = rootfsTar()

  const broken: Record<string, Uint8Array> = {
    'an absolute path': file('/etc/passwd'),
    'a path that climbs': file('a/../../etc/passwd'),
    'a path that climbs at once': file('../x'),
    'a hard link to the outside': tarOf([{ name: 'a', type: '1', linkName: '../../etc/shadow' }]),
    'an absolute hard link': tarOf([{ name: 'a', type: '1', linkName: '/etc/shadow' }]),
    'no archive': Buffer.from('this is no archive'.repeat(100)),
    'an empty archive': tarOf([]),
    'a cut archive': rootfsTar().subarray(0, 700),
    'a cut archive of gzip': gzipSync(rootfsTar()).subarray(0, 60),
    'gzip of nothing': gzipSync(Buffer.alloc(0)),
    'a docker archive without its layer': tarOf([
      {
        name: 'manifest.json',
        content: JSON.stringify([{ Config: 'c.json', Layers: ['gone/layer.tar'] }]),
      },
      { name: 'c.json', content: '{"config":{}}' },
    ]),
    'a docker archive without sense': tarOf([{ name: 'manifest.json', content: '{"a":1}' }]),
    'a docker archive that is no JSON': tarOf([{ name: 'manifest.json', content: '{' }]),
    'path tricks in a layer': dockerArchive([file('../x')]),
    'an OCI layer that is another': ociLayout([layer], { layerDigests: [sha256('another')] }),
    'path tricks in an OCI layer': ociLayout([gzipSync(file('/x'))]),
  }
  for (const [what, content] of Object.entries(broken)) {
    await t.test(`${what} is refused`, async () => {
      const error = await refusal(importFile(member, 'bad', content), 'IMAGE_BROKEN')
      assert.equal(error.status, 400)
      assert.deepEqual(uploads(), [])
    })
  }

  await t.test('headers that promise more than an image may have are a bomb', async () => {
    const bomb = tarOf([{ name: 'bin/huge', content: '', sizeBytes: 2 ** 45 }])
    await refusal(importFile(member, 'bad', bomb), 'TOO_LARGE')
    assert.deepEqual(uploads(), [])
  })

  await t.test('an empty upload and a wrong digest are refused', async () => {
    const empty = await refusal(importFile(member, 'bad', new Uint8Array(0)), 'INVALID_INPUT')
    assert.equal(empty.details['field'], 'body')
    const wrong = await refusal(
      importFile(member, 'bad', rootfsTar(), { digest: `sha256:${'0'.repeat(64)}` }),
      'INVALID_INPUT',
    )
    assert.equal(wrong.details['field'], 'digest')
    assert.deepEqual(uploads(), [])
  })

  await t.test('a registry that is away is said, and the import can be repeated', async () => {
    region.registry.isAway = true
    await refusal(importRootfs(member, 'later'), 'REGISTRY_UNAVAILABLE')
    assert.deepEqual(uploads(), [])
    region.registry.isAway = false
    await importRootfs(member, 'later')
  })

  await t.test('an abandoned upload leaves no file and takes no turn', async () => {
    for (let round = 0; round < 6; round++) {
      const upload = request(`${region.server(0).url}/v1/images?name=left-${round}`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${tokens.member}`,
          'content-type': 'application/octet-stream',
          'content-length': String(2 ** 30),
        },
      })
      upload.on('error', () => undefined)
      upload.write(Buffer.alloc(100_000))
      await waitUntil(uploads, (names) => names.length === 1)
      upload.destroy()
      await waitUntil(uploads, (names) => names.length === 0)
    }
    await importRootfs(member, 'after')
  })

  await t.test('more imports at once than the server takes are told to wait', async () => {
    const held = Array.from({ length: 4 }, (_, at) => {
      const upload = request(`${region.server(0).url}/v1/images?name=held-${at}`, {
        method: 'POST',
        agent: false,
        headers: {
          authorization: `Bearer ${tokens.member}`,
          'content-type': 'application/octet-stream',
          'transfer-encoding': 'chunked',
        },
      })
      upload.on('error', () => undefined)
      upload.write('x')
      return upload
    })
    await waitUntil(uploads, (names) => names.length === 4)
    const client = region.client(tokens.member, [region.server(0)])
    await refusal(importRootfs(client, 'fifth'), 'TOO_MANY_REQUESTS')
    for (const upload of held) upload.destroy()
    await waitUntil(uploads, (names) => names.length === 0)
    await importRootfs(client, 'fifth')
  })

  assert.deepEqual((await member.imageList()).items.map(({ name }) => name).toSorted(), [
    'after',
    'fifth',
    'later',
  ])
})

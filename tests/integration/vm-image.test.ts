// Proves what a customer sees of images for VMs: disks and kernels are imported through the API and known by what they
// are, VMs and only VMs start from them, and what is refused leaves nothing on the server. qemu-img is the real one.
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Client } from '@nubo/client'
import type { Image } from '@nubo/contracts'
import { bzImage, kernelTar, qcow2Disk, rawDisk, vmdkDisk } from '../support/disk.ts'
import { joinHost } from '../support/hosts.ts'
import { done, everywhere, setOf } from '../support/project.ts'
import { runProgram } from '../support/program.ts'
import { refusal } from '../support/refusal.ts'
import { openShop } from '../support/shop.ts'
import { sha256, tarOf } from '../support/tar.ts'
import { waitUntil } from '../support/wait.ts'

const MEBI = 2 ** 20

function importFile(
  client: Client,
  name: string,
  content: Uint8Array,
  more: { command?: string } = {},
): Promise<Image> {
  return client.imageImport({
    query: { name, ...more },
    open: async function* () {
      yield content
    },
  })
}

async function openImageShop(t: TestContext) {
  const { region, shop } = await openShop(t)
  return {
    region,
    shop,
    member: shop.member,
    uploads: (): string[] => readdirSync(join(region.folder, 'uploads')),
  }
}

test('disks and kernels become images of their kind, and VMs start from them', async (t) => {
  const { region, shop, member, uploads } = await openImageShop(t)

  await t.test('a disk in qcow2, raw and vmdk', async () => {
    for (const [source, content, diskBytes] of [
      ['qcow2', qcow2Disk({ virtualBytes: 256n << 20n }), 256 * MEBI],
      ['raw', gzipSync(rawDisk(4_096)), 2 * MEBI],
      ['vmdk', vmdkDisk(), 16 * MEBI],
    ] as const) {
      const image = await importFile(member, `disk-${source}`, content)
      assert.deepEqual(
        [image.kind, image.source, image.diskBytes, image.layers, image.command],
        ['disk', source, diskBytes, 1, []],
      )
      assert.equal(image.uploadDigest, `sha256:${sha256(content)}`)
      const manifest = region.registry.manifests.get(`${image.repository}@${image.digest}`) ?? ''
      assert.match(manifest, /"application\/vnd\.nubo\.vm\.config\.v1\+json"/)
      assert.match(manifest, /"application\/vnd\.nubo\.vm\.disk\.v1\.qcow2"/)
      assert.deepEqual(uploads(), [])
    }
  })

  await t.test('a kernel', async () => {
    const image = await importFile(
      member,
      'linux',
      gzipSync(kernelTar([{ name: 'command-line', content: 'console=ttyS0 quiet\n' }])),
    )
    assert.deepEqual(
      [image.kind, image.source, image.diskBytes, image.layers],
      ['kernel', 'kernel', null, 2],
    )
    assert.ok(region.registry.blobs.has(`${image.repository}@sha256:${sha256(bzImage())}`))
    assert.deepEqual(uploads(), [])
  })

  await t.test('both servers list them beside images of containers', async () => {
    await everywhere(region)
    for (const server of region.servers) {
      const list = await region.client(shop.tokens.viewer, [server]).imageList()
      assert.deepEqual(
        list.items.map(({ name, kind, diskBytes }) => [name, kind, diskBytes]),
        [
          ['web', 'container', null],
          ['disk-qcow2', 'disk', 256 * MEBI],
          ['disk-raw', 'disk', 2 * MEBI],
          ['disk-vmdk', 'disk', 16 * MEBI],
          ['linux', 'kernel', null],
        ],
      )
    }
  })

  await t.test('a VM of each waits for a host that runs VMs', async () => {
    await joinHost(region, { name: 'host-1' })
    const create = { network: 'net', memoryBytes: 256 * MEBI }
    await member.vmCreate({ body: { ...create, name: 'one', image: 'disk-qcow2' } })
    await member.vmCreate({ body: { ...create, name: 'two', image: 'linux' } })
    for (const id of ['one', 'two'])
      await waitUntil(
        () => member.vmShow({ params: { id } }),
        ({ reason }) => reason?.text.includes('no VMs') === true,
        { what: 'the reason why it waits' },
      )
    const one = await member.vmShow({ params: { id: 'one' } })
    assert.deepEqual([one.state, one.image], ['pending', 'disk-qcow2'])
    assert.deepEqual(
      one.disks.map(({ sizeBytes }) => sizeBytes),
      [256 * MEBI],
    )
    const small = { ...create, name: 'small', image: 'disk-qcow2', diskBytes: 64 * MEBI }
    const error = await refusal(member.vmCreate({ body: small }), 'INVALID_INPUT')
    assert.equal(error.details['field'], 'diskBytes')
    await refusal(member.imageRemove({ params: { id: 'linux' } }), 'IN_USE')
  })

  await t.test('a set cannot start from them, and a VM not from containers', async () => {
    for (const image of ['disk-raw', 'linux']) {
      const body = { ...setOf('wrong'), containers: [{ name: 'main', image }] }
      const error = await refusal(member.setCreate({ body }), 'INVALID_INPUT')
      assert.equal(error.details['field'], 'containers.0.image')
    }
    const body = { name: 'wrong', network: 'net', image: 'web' }
    assert.equal(
      (await refusal(member.vmCreate({ body }), 'INVALID_INPUT')).details['field'],
      'image',
    )
  })

  await t.test('when the VMs are gone the images can go too', async () => {
    for (const id of ['one', 'two']) await done(member, await member.vmRemove({ params: { id } }))
    for (const id of ['disk-qcow2', 'disk-raw', 'disk-vmdk', 'linux']) {
      const image = await member.imageRemove({ params: { id } })
      assert.ok(!region.registry.manifests.has(`${image.repository}@${image.digest}`))
    }
    assert.deepEqual(
      (await member.imageList()).items.map(({ name }) => name),
      ['web'],
    )
  })
})

test('hostile and broken disks are refused with what is wrong, and leave nothing', async (t) => {
  const { region, member, uploads } = await openImageShop(t)
  const before = region.registry.blobs.size
  const broken: Record<string, Uint8Array> = {
    'a backing file': qcow2Disk({ backing: '/etc/passwd' }),
    'a data file': qcow2Disk({ incompatible: 4n }),
    '1 EiB': qcow2Disk({ virtualBytes: 1n << 60n }),
    'a backing file inside gzip': gzipSync(qcow2Disk({ backing: '/etc/passwd' })),
    'another file': vmdkDisk({ extents: ['RW 1 FLAT "/etc/passwd" 0'] }),
    'rubbish for tables': qcow2Disk().fill(0xff, 65_536, 131_072),
    'an end too early': rawDisk().subarray(0, 4_096),
    'no initrd': tarOf([{ name: 'kernel', content: bzImage() }]),
  }
  for (const [what, content] of Object.entries(broken)) {
    const error = await refusal(importFile(member, 'bad', content), 'IMAGE_BROKEN')
    assert.equal(error.status, 400, what)
    assert.equal(typeof error.details['next'], 'string', what)
    assert.deepEqual(uploads(), [], what)
  }
  const bomb = gzipSync(Buffer.concat([rawDisk(), Buffer.alloc(80 * MEBI)]))
  await refusal(importFile(member, 'bad', bomb), 'TOO_LARGE')
  const command = await refusal(
    importFile(member, 'bad', rawDisk(), { command: 'sh' }),
    'INVALID_INPUT',
  )
  assert.equal(command.details['field'], 'command')
  assert.deepEqual(uploads(), [])
  assert.equal(region.registry.blobs.size, before)
  assert.deepEqual(
    (await member.imageList()).items.map(({ name }) => name),
    ['web'],
  )
})

test('at a terminal', async (t) => {
  const { region, shop } = await openImageShop(t)
  const home = join(region.folder, 'home')
  mkdirSync(home)
  const file = join(home, 'disk.qcow2')
  writeFileSync(file, qcow2Disk({ virtualBytes: 256n << 20n }))
  const nubo = async (line: string) => {
    const [server] = region.servers
    assert.ok(server)
    const env = { NUBO_SERVERS: server.url, NUBO_TOKEN: shop.tokens.member }
    const { code, stdout, stderr } = await runProgram(home, ['image', ...line.split(' ')], env)
    assert.equal(code, 0, stderr)
    return stdout
  }
  assert.match(
    await nubo(`import debian ${file}`),
    /^image debian imported: 192 KiB, qcow2, disk of 256 MiB, sha256:/,
  )
  assert.match(await nubo('ls'), /^debian +disk +192 KiB +256 MiB/m)
  assert.match(await nubo('show debian'), /kind +disk\n +disk +256 MiB/)
  assert.match(await nubo('import --help'), /qcow2/)
  assert.deepEqual(readFileSync(file), qcow2Disk({ virtualBytes: 256n << 20n }))
})

// Proves what a person at a terminal sees of `nubo plan` and `nubo apply`, against real servers: the example of the
// guide is applied, changed, broken and pruned.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { joinHost } from '../support/hosts.ts'
import { everywhere, importRootfs, makeProject } from '../support/project.ts'
import { runProgram } from '../support/program.ts'
import { TestRegion } from '../support/region.ts'
import { rootfsTar } from '../support/tar.ts'

const example = new URL('../../examples/shop.yaml', import.meta.url).pathname

test('the example of the guide at a terminal', async (t) => {
  const region = await TestRegion.open(t)
  const shop = await makeProject(region, 'shop')
  await importRootfs(shop.member, 'busybox')
  await everywhere(region)
  await joinHost(region, { name: 'host-1', server: 0 })
  await joinHost(region, { name: 'host-2', server: 1 })
  const home = join(region.folder, 'home')
  mkdirSync(home)
  const nubo = (...args: string[]) =>
    runProgram(home, args, {
      NUBO_SERVERS: region.servers.map(({ url }) => url).join(','),
      NUBO_TOKEN: shop.tokens.member,
    })
  const file = join(home, 'shop.yaml')
  const text = readFileSync(example, 'utf8')
  const write = (change: (text: string) => string): void => writeFileSync(file, change(text))
  write((same) => same)

  await t.test('the plan of a new manifest is a line for each thing', async () => {
    const { code, stdout, stderr } = await nubo('plan', '-f', file)
    assert.deepEqual([code, stderr], [0, ''])
    const lines = stdout.replaceAll(/host-[12]/g, 'host-N').split('\n')
    assert.deepEqual(lines, [
      '  + network shop       cidr 10.20.0.0/16',
      '  + subnet shop/front  cidr 10.20.1.0/24',
      '  + port cache         network shop, address 10.20.1.10',
      '  = image busybox      it was made without a manifest',
      '  + set cache          network shop, cache.image busybox, 0.5 cores, 128 MiB, would go to host-N',
      '  + set web-1          network shop, web.image busybox, 0.25 cores, 64 MiB, would go to host-N',
      '  + set web-2          network shop, web.image busybox, 0.25 cores, 64 MiB, would go to host-N',
      '',
      'manifest shop: 6 to create, 1 to take over, 0 unchanged',
      '',
    ])
  })

  await t.test('it is applied, and a second time nothing changes', async () => {
    const first = await nubo('apply', '-f', file)
    assert.equal(first.code, 0, first.stderr)
    assert.match(first.stdout, /^manifest shop applied: 7 of 7 done \(.*\)$/m)
    const again = await nubo('apply', '-f', file)
    assert.deepEqual(
      [again.code, again.stdout],
      [0, 'manifest shop: nothing to change, 7 as described\n'],
    )
    const json = await nubo('plan', '-f', file, '-o', 'json')
    assert.deepEqual(JSON.parse(json.stdout).changes, [])
  })

  await t.test('a change is shown field by field', async () => {
    write((was) =>
      was.replace('memory: 64MiB', 'memory: 96MiB').replace('tier: front', 'tier: edge'),
    )
    const { code, stdout } = await nubo('plan', '-f', file)
    assert.equal(code, 0)
    assert.deepEqual(stdout.split('\n').slice(0, 3), [
      '  ~ set web-1  its containers start anew',
      '      memoryBytes  64 MiB → 96 MiB',
      '      labels.tier  front → edge',
    ])
    assert.equal((await nubo('apply', '-f', file)).code, 0)
  })

  await t.test('what cannot be done is told with its line, and nothing is done', async () => {
    write((was) => was.replace('10.20.1.0/24', '10.20.2.0/24'))
    const { code, stderr } = await nubo('apply', '-f', file)
    assert.equal(code, 1)
    assert.match(
      stderr,
      /! subnet shop\/front: cidr cannot be changed in place from 10\.20\.1\.0\/24 to 10\.20\.2\.0\/24: .*\(.*shop\.yaml:11\)/,
    )
    assert.match(stderr, /next: keep the range, or give the new subnet another name/)
  })

  await t.test('a file that cannot be meant is a usage error with file and line', async () => {
    write((was) => was.replace('cpu: 0.25', 'cpu: much'))
    const units = await nubo('plan', '-f', file)
    assert.equal(units.code, 2)
    assert.match(units.stderr, /shop\.yaml:39: sets\.1\.cpu: give a number of cores/)
    write((was) => was.replace('recovery:', 'recoverie:'))
    const field = await nubo('apply', '-f', file)
    assert.equal(field.code, 2)
    assert.match(field.stderr, /shop\.yaml:29: sets\.0\.recoverie: there is no such field/)
    write((was) => was.replace('name: shop', 'name: [shop'))
    assert.match(
      (await nubo('plan', '-f', file)).stderr,
      /shop\.yaml:\d+: this cannot be understood/,
    )
    assert.match(
      (await nubo('plan', '-f', join(home, 'none.yaml'))).stderr,
      /there is no such file/,
    )
  })

  await t.test(
    'an image with a file is uploaded, and another content under its name is refused',
    async () => {
      const folder = join(home, 'parts')
      mkdirSync(folder)
      writeFileSync(join(folder, 'name.yaml'), 'name: parts\n')
      writeFileSync(join(folder, 'image.json'), '{"images": [{"name": "app", "file": "app.tar"}]}')
      writeFileSync(join(folder, 'app.tar'), rootfsTar('one'))
      const first = await nubo('apply', '-f', folder)
      assert.equal(first.code, 0, first.stderr)
      assert.match(first.stdout, /^ {2}\+ image app {2}uploaded first$/m)
      assert.match((await nubo('apply', '-f', folder)).stdout, /nothing to change, 1 as described/)
      writeFileSync(join(folder, 'app.tar'), rootfsTar('another'))
      const other = await nubo('apply', '-f', folder)
      assert.equal(other.code, 1)
      assert.match(
        other.stderr,
        /image app: the file has another content than the image of this name/,
      )
    },
  )

  await t.test('not placed is exit code 3 and says what was not tried', async () => {
    write((was) =>
      was.replaceAll('memory: 64MiB', 'memory: 9000GiB').replaceAll(/web-(\d)/g, 'huge-$1'),
    )
    const { code, stdout, stderr } = await nubo('apply', '-f', file)
    assert.equal(code, 3)
    assert.match(stdout, /\+ set huge-1 .*as things are, no host can take it/)
    assert.match(stdout, /no longer named: set web-1, set web-2; --prune removes them/)
    assert.match(stderr, /failed: create set huge-1: no host can take it/)
    assert.match(stderr, /next +correct what failed and apply again/)
  })

  await t.test('one set of a file is created and changed in place', async () => {
    const set = join(home, 'set.yaml')
    const body = (memory: string): string =>
      `name: solo\nnetwork: shop\nmemory: ${memory}\ncontainers: [{ name: main, image: busybox }]\n`
    writeFileSync(set, body('32MiB'))
    assert.match((await nubo('set', 'apply', '-f', set)).stdout, /^set solo runs on host-/)
    assert.match(
      (await nubo('set', 'apply', '-f', set)).stdout,
      /^set solo is as described; nothing changed: running/,
    )
    writeFileSync(set, body('48MiB'))
    assert.match(
      (await nubo('set', 'apply', '-f', set)).stdout,
      /^set solo is changed: running on host-/,
    )
    assert.equal((await nubo('set', 'rm', 'solo')).code, 0)
  })

  await t.test('pruned to nothing', async () => {
    writeFileSync(file, 'name: shop\n')
    const { code, stdout } = await nubo('apply', '-f', file, '--prune')
    assert.equal(code, 0)
    assert.match(stdout, /^ {2}- set web-1 .*the manifest shop does not name it any more$/m)
    assert.deepEqual((await shop.member.networkList()).items, [])
    rmSync(file)
  })
})

// Proves how files become one manifest, and that whatever is wrong with them is told with file and line.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { after, test } from 'node:test'
import { readManifest } from './manifest.ts'

const folder = mkdtempSync(join(tmpdir(), 'nubo-cli-'))
after(() => rmSync(folder, { recursive: true }))

const read = (text: string) => readManifest(['-'], Readable.from([text]))
const refusal = async (text: string): Promise<string> => {
  try {
    await read(text)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  return assert.fail('it was taken')
}

test('documents and files of a folder are one manifest; files of images are relative to theirs', async () => {
  writeFileSync(
    join(folder, 'a.yaml'),
    'name: shop\nnetworks: [{name: n, cidr: 10.0.0.0/16}]\n---\nname: shop\n',
  )
  writeFileSync(
    join(folder, 'b.json'),
    JSON.stringify({ images: [{ name: 'app', file: 'app.tar' }, { name: 'base' }] }),
  )
  writeFileSync(join(folder, 'notes.txt'), 'not read')
  const made = await readManifest([folder], Readable.from([]))
  assert.equal(made.body.name, 'shop')
  assert.deepEqual(made.body.networks, [{ name: 'n', cidr: '10.0.0.0/16' }])
  assert.deepEqual(made.images, ['app', 'base'])
  assert.deepEqual(made.files, [{ name: 'app', file: join(folder, 'app.tar'), command: undefined }])
  assert.equal(made.placeOf('network', 'n'), `${join(folder, 'a.yaml')}:2`)
  assert.equal(made.placeOf('set', 'n'), undefined)
})

test('units that people write become those of the API', async () => {
  const { body } = await read(
    'name: x\nsets:\n  - {name: a, network: n, cpu: 2, memory: 1GiB, containers: [{name: c, image: i, cpu: 0.5, memory: 64MiB}]}\n',
  )
  const [set] = body.sets ?? []
  assert.deepEqual([set?.cpuMillis, set?.memoryBytes], [2_000, 2 ** 30])
  const [container] = set?.containers ?? []
  assert.deepEqual([container?.cpuMillis, container?.memoryBytes], [500, 64 * 2 ** 20])
})

test('what is wrong is told with its line', async () => {
  const set = (more: string): string =>
    `name: x\nsets:\n  - name: a\n    network: n\n    ${more}\n    containers: [{name: c, image: i}]\n`
  assert.match(
    await refusal(set('cpu: lots')),
    /^the input:5: sets\.0\.cpu: give a number of cores/,
  )
  assert.match(await refusal(set('memory: {}')), /^the input:5: sets\.0\.memory: give a size/)
  assert.match(
    await refusal(set('memory: 1GiB\n    memoryBytes: 5')),
    /:5: sets\.0\.memory: give either/,
  )
  assert.match(
    await refusal(set('colour: red')),
    /^the input:5: sets\.0\.colour: there is no such field/,
  )
  assert.match(await refusal(set('recovery: maybe')), /^the input:5: sets\.0\.recovery: /)
  assert.match(await refusal('name: x\nsets:\n  - name: a\n'), /^the input:3: sets\.0\.network: /)
  assert.match(await refusal('name: [x\n'), /^the input:\d: this cannot be understood: /)
  assert.match(await refusal('networks: []\n'), /has no name/)
  assert.match(
    await refusal('name: x\n---\nname: y\n'),
    /different manifests: x \(the input:1\), y \(the input:3\)/,
  )
  assert.match(await refusal('5\n'), /^the input:1: as a whole: /)
  assert.match(await refusal(''), /has no name/)
})

test('aliases that multiply themselves are refused', async () => {
  const lines = ['a0: &a0 [x, x, x, x, x, x, x, x, x]']
  for (let at = 1; at < 9; at++)
    lines.push(`a${at}: &a${at} [${Array.from({ length: 9 }, () => `*a${at - 1}`).join(', ')}]`)
  assert.match(await refusal(`${lines.join('\n')}\n`), /this cannot be understood: /)
})

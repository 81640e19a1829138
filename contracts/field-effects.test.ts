// Proves that every field of a manifest has a row in the table of fields, and that the guide says the same as the table.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { manifestNetwork, manifestPort, manifestSet, manifestSubnet } from './public/apply.ts'
import { fieldEffectTexts, fieldRow, fieldRows, type ManifestKind } from './public/field-effects.ts'
import { containerSpec, setPlacementRule } from './public/set.ts'

/** What names a thing, and what says only in which order things are made. */
const notCompared: Readonly<Record<string, readonly string[]>> = {
  network: ['name'],
  subnet: ['name', 'network'],
  port: ['name'],
  set: ['name', 'after'],
}

test('every field of every thing has a row', () => {
  const fields: [ManifestKind, string][] = [
    ...Object.keys(manifestNetwork.shape).map((key): [ManifestKind, string] => ['network', key]),
    ...Object.keys(manifestSubnet.shape).map((key): [ManifestKind, string] => ['subnet', key]),
    ...Object.keys(manifestPort.shape).map((key): [ManifestKind, string] => ['port', key]),
    ...Object.keys(manifestSet.shape).map((key): [ManifestKind, string] => ['set', key]),
    ...Object.keys(containerSpec.shape)
      .filter((key) => key !== 'name')
      .map((key): [ManifestKind, string] => ['set', `containers.*.${key}`]),
    ...Object.keys(setPlacementRule.shape).map((key): [ManifestKind, string] => [
      'set',
      `placement.${key}`,
    ]),
  ]
  const lacking = fields
    .filter(([kind, path]) => notCompared[kind]?.includes(path) !== true)
    .filter(
      ([kind, path]) =>
        !fieldRows.some(
          (one) => one.kind === kind && (one.path === path || one.path.startsWith(`${path}.`)),
        ),
    )
  assert.deepEqual(lacking, [])
})

test('a field is found by its path; keys may have dots', () => {
  assert.equal(fieldRow('set', 'labels.a.b/c')?.effect, 'mutable')
  assert.equal(fieldRow('set', 'containers.web')?.path, 'containers.*')
  assert.equal(fieldRow('set', 'containers.web.image')?.effect, 'restarting')
  assert.equal(fieldRow('set', 'containers.web.env.MODE')?.effect, 'restarting')
  assert.equal(fieldRow('set', 'containers.web.restart.policy')?.effect, 'mutable')
  assert.equal(fieldRow('set', 'containers.web.nothing'), undefined)
  assert.equal(fieldRow('network', 'labels.a'), undefined)
})

test('the guide has the same table', () => {
  const guide = readFileSync(new URL('../docs/guides/plan-and-apply.md', import.meta.url), 'utf8')
  const written = guide
    .split('\n')
    .filter((line) => /^\| (network|subnet|port|image|set) \|/.test(line))
  const rows = fieldRows.map(
    ({ kind, path, effect, why }) => `| ${kind} | \`${path}\` | ${effect} | ${why} |`,
  )
  assert.deepEqual(written, rows, `the table should be:\n${rows.join('\n')}`)
  for (const [effect, text] of Object.entries(fieldEffectTexts))
    assert.ok(guide.includes(`- **${effect}**: ${text}`), `${effect} is not explained`)
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isSuiteName, selectTests, suiteNames, suiteOf } from './suites.ts'

describe('suiteOf', () => {
  it('puts each kind of test file into its suite by its name alone', () => {
    const expected = {
      'base/ids.test.ts': 'unit',
      'tests/support/wait-until.test.ts': 'unit',
      'control-plane/domains/fleet/store.store.test.ts': 'store',
      'tests/integration/set.test.ts': 'integration',
      'tests/simulation/seeds.test.ts': 'simulation',
      'tests/architecture/imports.test.ts': 'architecture',
      'tests/system/demo.test.ts': 'system',
      'wire/ovsdb/client.system.test.ts': 'system',
      'tools/checks/types.test.ts': 'types',
      'tools/checks/lint.test.ts': 'lint',
      'tools/checks/unused.test.ts': 'unused',
    }
    for (const [path, suite] of Object.entries(expected)) assert.equal(suiteOf(path), suite, path)
  })

  it('takes nothing that is not a test', () => {
    assert.equal(suiteOf('base/ids.ts'), undefined)
    assert.equal(suiteOf('tests/system/support.ts'), undefined)
  })
})

describe('selectTests', () => {
  const paths = [
    'b/x.system.test.ts',
    'b/y.test.ts',
    'a/z.test.ts',
    'a/z.ts',
    'ab/w.test.ts',
    'tools/checks/types.test.ts',
  ]

  it('orders by suite, then by path', () => {
    const selected = selectTests(paths, { suites: [], below: [] })
    assert.deepEqual(
      selected.map((file) => `${file.suite} ${file.path}`),
      [
        'types tools/checks/types.test.ts',
        'unit a/z.test.ts',
        'unit ab/w.test.ts',
        'unit b/y.test.ts',
        'system b/x.system.test.ts',
      ],
    )
  })

  it('begins what waits for minutes before the suites that compute', () => {
    const selected = selectTests(
      ['a/z.test.ts', 'a/s.store.test.ts', 'tests/system/cloud.test.ts', 'tests/system/a.test.ts'],
      { suites: [], below: [] },
    )
    assert.deepEqual(
      selected.map((file) => file.path),
      ['a/z.test.ts', 'tests/system/cloud.test.ts', 'a/s.store.test.ts', 'tests/system/a.test.ts'],
    )
  })

  it('narrows to suites and to folders or files, and takes no folder for a prefix of another', () => {
    assert.deepEqual(selectTests(paths, { suites: ['system'], below: [] }), [
      { path: 'b/x.system.test.ts', suite: 'system' },
    ])
    assert.deepEqual(selectTests(paths, { suites: ['unit'], below: ['a'] }), [
      { path: 'a/z.test.ts', suite: 'unit' },
    ])
    assert.deepEqual(selectTests(paths, { suites: [], below: ['b/y.test.ts'] }), [
      { path: 'b/y.test.ts', suite: 'unit' },
    ])
  })
})

describe('isSuiteName', () => {
  it('knows the suites and nothing else', () => {
    assert.ok(suiteNames.every(isSuiteName))
    assert.equal(isSuiteName('constructor'), false)
  })
})

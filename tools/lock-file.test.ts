import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { completeLock, type Lock } from './lock-file.ts'

describe('completeLock', () => {
  const lock = (): Lock => ({
    packages: {
      '': {},
      'node_modules/linter': {
        version: '1.2.3',
        dev: true,
        optionalDependencies: {
          '@linter/binding-linux-x64-gnu': '1.2.3',
          '@linter/binding-win32-arm64-msvc': '1.2.3',
          'not-a-platform': '1.0.0',
          '@linter/binding-darwin-x64': '^1.2.3',
        },
      },
      'node_modules/@linter/binding-linux-x64-gnu': {
        version: '1.2.3',
        os: ['linux'],
        cpu: ['x64'],
      },
    },
  })

  it('adds what is missing for other platforms, and only what it is sure of', () => {
    const whole = lock()
    assert.deepEqual(completeLock(whole), ['@linter/binding-win32-arm64-msvc@1.2.3'])
    assert.deepEqual(whole.packages['node_modules/@linter/binding-win32-arm64-msvc'], {
      version: '1.2.3',
      cpu: ['arm64'],
      dev: true,
      optional: true,
      os: ['win32'],
    })
    assert.deepEqual(
      Object.keys(whole.packages),
      Object.keys(whole.packages).toSorted((a, b) => a.localeCompare(b, 'en')),
    )
  })

  it('has nothing to do the second time', () => {
    const whole = lock()
    completeLock(whole)
    assert.deepEqual(completeLock(whole), [])
  })
})

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { readBootId } from './boot-id.ts'
import { readAgentConfig } from './config.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'nt-config-'))
after(() => rmSync(folder, { recursive: true, force: true }))

function write(name: string, content: unknown): string {
  const file = path.join(folder, name)
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
  return file
}

const least = { stateDir: '/var/lib/nubo/agent', switch: { vtepAddress: '172.16.0.1' } }

test('a configuration needs little; the rest has defaults', () => {
  const config = readAgentConfig(write('least.json', least))
  assert.equal(config.parallelStartsMax, 4)
  assert.equal(config.docker.socket, '/run/docker.sock')
  assert.equal(config.switch.bridge, 'br-int')
  assert.deepEqual(config.host.reserve, { cpuMillis: 0, memoryBytes: 0, diskBytes: 0 })
  assert.deepEqual(config.servers, [])
  // That of the lab of `nubo up`, which ends all that is in it.
  assert.notEqual(config.docker.cgroupParent, '/nubo')
})

test('a configuration that is wrong names its file and field', () => {
  const wrong: Record<string, unknown> = {
    stateDir: { ...least, stateDir: 'relative' },
    'servers.0': { ...least, servers: ['https://there'] },
    'switch.vtepAddress': { ...least, switch: { vtepAddress: '300.1.1.1' } },
    'host.capacity.cpuMillis': {
      ...least,
      host: { capacity: { cpuMillis: -1, memoryBytes: 1, diskBytes: 1 } },
    },
  }
  for (const [field, content] of Object.entries(wrong)) {
    const file = write('wrong.json', content)
    assert.throws(() => readAgentConfig(file), { code: 'SETUP_FAILED', details: { file, field } })
  }
  assert.throws(() => readAgentConfig(write('wrong.json', { ...least, colour: 'red' })), {
    code: 'SETUP_FAILED',
  })
  assert.throws(() => readAgentConfig(write('wrong.json', '{')), { code: 'SETUP_FAILED' })
  assert.throws(() => readAgentConfig(path.join(folder, 'none.json')), { code: 'SETUP_FAILED' })
})

test('a boot has a name of its own; hosts of one kernel are told apart by their file', () => {
  const kernelFile = write('boot_id', 'aaaa\n')
  const plain = readBootId({ kernelFile })
  assert.equal(readBootId({ kernelFile }), plain)
  const bootIdFile = path.join(folder, 'boot')
  assert.notEqual(readBootId({ kernelFile, bootIdFile }), plain)
  write('boot', '1')
  const first = readBootId({ kernelFile, bootIdFile })
  write('boot', '2')
  assert.notEqual(readBootId({ kernelFile, bootIdFile }), first)
  assert.notEqual(readBootId({ kernelFile: write('boot_id', 'bbbb\n') }), plain)
})

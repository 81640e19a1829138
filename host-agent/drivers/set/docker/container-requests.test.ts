import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SetSpec } from '../set-driver.ts'
import { memberRequest, pauseRequest } from './container-requests.ts'
import { engineText } from './engine-errors.ts'
import { labelsOf, memberName, pauseName, readLabels } from './labels.ts'

const SPEC: SetSpec = {
  setId: 's1',
  epoch: 3,
  specHash: 'hash',
  name: 'web',
  hostname: 'web',
  cpuMillis: 500,
  memoryBytes: 64 * 2 ** 20,
  pidsMax: 100,
  shmBytes: 1_024,
  containers: [],
  interfaces: [
    {
      name: 'eth0',
      hostInterface: 'v1',
      mac: '0a:00:00:00:00:05',
      addressWithPrefix: '10.0.0.5/24',
      gateway: '10.0.0.1',
      mtu: 1_450,
    },
  ],
}
const HOST = { cgroupParent: '/n/set-s1', pauseImageId: 'sha256:1', hasIpv6: true }

test('labels give back what a set is', () => {
  assert.deepEqual(readLabels(labelsOf(SPEC, null)), {
    setId: 's1',
    epoch: 3,
    specHash: 'hash',
    container: null,
    links: [{ name: 'eth0', hostInterface: 'v1', gateway: '10.0.0.1' }],
  })
  assert.equal(readLabels(labelsOf(SPEC, 'main'))?.container, 'main')
  assert.equal(readLabels({}), null)
  for (const links of ['no', '{}', '[1]', '[{"name":1}]']) {
    assert.deepEqual(readLabels({ 'nubo.set': 's', 'nubo.links': links })?.links, [])
  }
})

test('no container of one set can have the name of another one’s pause container', () => {
  assert.notEqual(pauseName('a.b'), memberName('a', 'c'))
  assert.equal(memberName('a', 'b'), 'nubo-a.b')
})

test('pause: no network of the engine, none of the host’s name servers, nothing to write to', () => {
  const { HostConfig: host, Hostname } = pauseRequest(SPEC, HOST)
  assert.equal(Hostname, 'web')
  assert.equal(host?.NetworkMode, 'none')
  assert.equal(host?.IpcMode, 'shareable')
  assert.deepEqual(host?.Dns, ['127.0.0.1'])
  assert.deepEqual(host?.ExtraHosts, ['web:10.0.0.5'])
  assert.equal(host?.ReadonlyRootfs, true)
  assert.deepEqual(host?.CapDrop, ['ALL'])
  assert.deepEqual(pauseRequest(SPEC, { ...HOST, hasIpv6: false }).HostConfig?.Sysctls, {})
})

test('members: joined, bounded, never privileged, never restarted by the engine', () => {
  const container = {
    name: 'main',
    index: 0,
    image: { repository: 'a', digest: 'b' },
    env: { A: 'x=y' },
    cpuMillis: 250,
    memoryBytes: 8 * 2 ** 20,
    stopTimeoutMs: 0,
    logBytesMax: 10_001,
  }
  const request = memberRequest({
    spec: SPEC,
    container,
    imageId: 'sha256:2',
    pauseId: 'p',
    cgroupParent: '/n/set-s1',
  })
  assert.deepEqual(request.Env, ['A=x=y'])
  assert.equal('Cmd' in request, false)
  // Nothing that an image says makes the engine work on its own.
  assert.deepEqual(request.Healthcheck, { Test: ['NONE'] })
  const host = request.HostConfig
  assert.equal(host?.NetworkMode, 'container:p')
  assert.equal(host?.IpcMode, 'container:p')
  assert.equal(host?.Privileged, false)
  assert.deepEqual(host?.RestartPolicy, { Name: 'no' })
  assert.deepEqual(host?.SecurityOpt, ['no-new-privileges'])
  assert.deepEqual([host?.CpuPeriod, host?.CpuQuota, host?.CpuShares], [100_000, 25_000, 256])
  assert.deepEqual([host?.Memory, host?.MemorySwap], [8 * 2 ** 20, 8 * 2 ** 20])
  assert.deepEqual(host?.LogConfig?.Config, { 'max-size': '5001', 'max-file': '2' })
  const free = memberRequest({
    spec: SPEC,
    container: {
      ...container,
      cpuMillis: null,
      memoryBytes: null,
      command: ['a'],
      entrypoint: ['b'],
      workingDir: '/c',
    },
    imageId: 'sha256:2',
    pauseId: 'p',
    cgroupParent: '/n/set-s1',
  })
  assert.deepEqual([free.Cmd, free.Entrypoint, free.WorkingDir], [['a'], ['b'], '/c'])
  assert.equal(free.HostConfig !== undefined && 'Memory' in free.HostConfig, false)
})

test('of an engine’s message stays what a person needs', () => {
  assert.equal(
    engineText(
      'POST /containers/x/start: 400 failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "nosuch": executable file not found in $PATH: unknown',
    ),
    'exec: "nosuch": executable file not found in $PATH',
  )
  assert.equal(engineText('GET /images/json: 500 broken'), 'broken')
  assert.equal(engineText('/info: no answer from /x (ENOENT)'), '/info: no answer from /x (ENOENT)')
})

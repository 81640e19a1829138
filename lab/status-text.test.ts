// Proves that `nubo status` tells of the brake and of hosts that need somebody, and what to do.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { statusText } from './status-text.ts'
import type { LabStatus } from './status.ts'

const host = (name: string, more: Partial<LabStatus['hosts'][number]> = {}) => ({
  name,
  power: 'on' as const,
  zone: 'zone-1',
  rack: 'rack-1',
  managementAddress: '10.0.0.1',
  vtepAddress: '10.0.1.1',
  namespace: `ns-${name}`,
  cutCables: [],
  state: 'ready',
  sets: 0,
  remarks: [],
  reason: null,
  ...more,
})

function status(more: Partial<LabStatus> = {}): string {
  const found: LabStatus = {
    version: '1',
    home: '/home',
    id: 'a',
    isUp: true,
    busyWith: null,
    api: [],
    tokenFile: '/token',
    registry: 'r',
    processes: [],
    hosts: [host('h1')],
    brakes: [],
    engines: {},
    ...more,
  }
  return statusText(found, 100_000)
}

test('a cloud in order says that the brake is off, and nothing more', () => {
  const text = status()
  assert.match(text, /\n {2}brake {5}off\n\n {2}HOST/)
  assert.match(text, /h1 {4}on {5}ready/)
})

test('a brake that holds says since when, why, and what to do', () => {
  const text = status({
    brakes: [
      { name: 'zone zone-1', hosts: ['h1', 'h2'], text: '2 of 3 were lost.', sinceMs: 40_000 },
    ],
  })
  assert.match(text, /brake {5}HOLDS since 60\.0 s, because of zone zone-1 \(h1, h2\)\n/)
  assert.match(text, /2 of 3 were lost\.\n +next: .*nubo host fence HOST --confirm-off/)
  assert.match(status({ brakes: null }), /brake {5}\? \(the control plane does not answer\)/)
})

test('hosts that are blocked, fenced, draining or worked on are told with their reason', () => {
  const text = status({
    hosts: [
      host('h1', { state: 'unreachable', remarks: ['blocked'], reason: 'Nothing proves it.' }),
      host('h2', { remarks: ['cordoned', 'draining', 'maintenance'] }),
      host('h3', { state: null, sets: null }),
    ],
  })
  assert.match(text, /h1 +unreachable, blocked: Nothing proves it\.\n/)
  assert.match(text, /h2 +ready, cordoned, draining, maintenance; more: nubo host show h2\n/)
  assert.match(text, /h3 +on +\? +\?/)
})

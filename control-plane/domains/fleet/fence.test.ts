// Proves when a lost host may be switched off or counted as stopped, for every state and every kind of evidence.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  decideFence,
  neighboursOf,
  signOf,
  type FenceAction,
  type FenceInput,
  type NeighbourSign,
  type NeighbourWord,
} from './fence.ts'

const silent: NeighbourSign = { at: 'silent' }
const nobody: NeighbourSign = { at: 'unknown', candidates: 0 }
const notYet: NeighbourSign = { at: 'unknown', candidates: 2 }
const alive: NeighbourSign = { at: 'heard', by: 'h2', isIdle: false }
const idle: NeighbourSign = { at: 'heard', by: 'h2', isIdle: true }

const lost: FenceInput = {
  state: 'unreachable',
  name: 'h1',
  maintenance: false,
  stopsWithinMs: 8_000,
  neighbours: silent,
  power: 'none',
  powerProblem: null,
  isPowerDoubted: false,
  isLeaseOver: false,
  brake: null,
  asked: null,
}

function short(action: FenceAction): string {
  if (action.do === 'wait') return action.step
  return action.do === 'fence' ? `fence by ${action.by}` : action.do
}

test('states that are not lost ask for nothing, unless an operator does', () => {
  for (const state of ['invited', 'joining', 'ready', 'returning', 'fenced'] as const)
    assert.equal(
      short(decideFence({ ...lost, state, power: 'off', isLeaseOver: true })),
      'nothing',
      state,
    )
})

const table: [why: string, change: Partial<FenceInput>, expected: string][] = [
  ['one sign is not enough', { neighbours: notYet }, 'looking'],
  ['nobody could be asked, no power', { neighbours: nobody }, 'blocked'],
  ['nobody could be asked: it is not shot', { neighbours: nobody, power: 'on' }, 'blocked'],
  ['power off is a second sign and proof', { neighbours: nobody, power: 'off' }, 'fence by power'],
  ['power off, neighbours silent', { power: 'off' }, 'fence by power'],
  ['power off, not yet asked', { neighbours: notYet, power: 'off' }, 'fence by power'],
  ['on and silent: shot', { power: 'on' }, 'power-off'],
  ['on and not yet asked: not shot', { neighbours: notYet, power: 'on' }, 'looking'],
  ['heard alive: never shot', { neighbours: alive, power: 'on' }, 'blocked'],
  ['heard alive: never fenced by its lease', { neighbours: alive, isLeaseOver: true }, 'blocked'],
  ['heard alive while off: the controller lies', { neighbours: alive, power: 'off' }, 'blocked'],
  ['heard idle while off: the controller lies', { neighbours: idle, power: 'off' }, 'blocked'],
  ['off once more after a lie', { isPowerDoubted: true, power: 'off' }, 'waiting-for-lease'],
  [
    'off once more after a lie, nobody to ask',
    { isPowerDoubted: true, power: 'off', neighbours: nobody, isLeaseOver: true },
    'blocked',
  ],
  [
    'off once more after a lie, lease over',
    { isPowerDoubted: true, power: 'off', isLeaseOver: true },
    'fence by lease',
  ],
  ['heard idle, lease not over', { neighbours: idle, power: 'on' }, 'waiting-for-lease'],
  ['heard idle, lease over', { neighbours: idle, isLeaseOver: true }, 'fence by lease'],
  ['silent, lease not over', {}, 'waiting-for-lease'],
  ['silent, lease over', { isLeaseOver: true }, 'fence by lease'],
  ['the controller is dead: by lease', { power: 'unknown' }, 'waiting-for-lease'],
  ['the controller is dead, lease over', { power: 'unknown', isLeaseOver: true }, 'fence by lease'],
  ['lease over before power says off', { power: 'on', isLeaseOver: true }, 'fence by lease'],
  ['one sign and lease over', { neighbours: notYet, isLeaseOver: true }, 'looking'],
  ['one sign, nobody to ask, lease over', { neighbours: nobody, isLeaseOver: true }, 'blocked'],
  ['nothing guarantees its stop', { stopsWithinMs: null, isLeaseOver: true }, 'blocked'],
  ['nothing guarantees its stop, off', { stopsWithinMs: null, power: 'off' }, 'fence by power'],
  ['nothing guarantees its stop, on', { stopsWithinMs: null, power: 'on' }, 'power-off'],
  ['maintenance', { maintenance: true, power: 'off', isLeaseOver: true }, 'held'],
  ['brake', { brake: 'Too many.', power: 'off', isLeaseOver: true }, 'held'],
]
for (const [why, change, expected] of table)
  test(`lost: ${why}`, () => {
    assert.equal(short(decideFence({ ...lost, ...change })), expected)
  })

test('what an operator asks goes through brake and maintenance, but not past proof', () => {
  const asked = { force: false }
  const held = { ...lost, maintenance: true, brake: 'Too many.', asked }
  assert.equal(short(decideFence({ ...held, power: 'off' })), 'fence by power')
  assert.equal(short(decideFence({ ...held, power: 'on', neighbours: nobody })), 'power-off')
  assert.equal(short(decideFence({ ...held, power: 'unknown' })), 'waiting-for-lease')
  assert.equal(short(decideFence({ ...held, power: 'on', neighbours: alive })), 'refuse')
  assert.equal(short(decideFence({ ...held, power: 'off', neighbours: alive })), 'refuse')
  const forced = { ...held, asked: { force: true } }
  assert.equal(short(decideFence({ ...forced, power: 'on', neighbours: alive })), 'power-off')
  assert.equal(short(decideFence({ ...forced, power: 'off', neighbours: alive })), 'refuse')
})

test('a connected host is switched off only by force, and then waits for its silence', () => {
  const ready = { ...lost, state: 'ready' as const, power: 'on' as const }
  assert.equal(short(decideFence({ ...ready, asked: { force: false } })), 'refuse')
  assert.equal(short(decideFence({ ...ready, asked: { force: true } })), 'power-off')
  assert.equal(
    short(decideFence({ ...ready, power: 'off', asked: { force: true } })),
    'powering-off',
  )
  assert.equal(short(decideFence({ ...ready, power: 'none', asked: { force: true } })), 'refuse')
})

test('nothing is ever fenced without proof, whatever comes together', () => {
  const signs = [silent, nobody, notYet, alive, idle]
  for (const neighbours of signs)
    for (const power of ['none', 'unknown', 'on', 'off'] as const)
      for (const isLeaseOver of [false, true])
        for (const stopsWithinMs of [null, 8_000])
          for (const brake of [null, 'Too many.'])
            for (const asked of [null, { force: false }, { force: true }])
              for (const state of ['ready', 'unreachable'] as const) {
                const input = { ...lost, state, neighbours, power, isLeaseOver, stopsWithinMs }
                const action = decideFence({ ...input, brake, asked })
                if (action.do === 'fence') {
                  assert.equal(state, 'unreachable')
                  if (action.by === 'power') assert.ok(power === 'off' && neighbours.at !== 'heard')
                  else assert.ok(isLeaseOver && stopsWithinMs !== null)
                  assert.ok(brake === null || asked !== null)
                  assert.ok(power === 'off' || neighbours.at === 'silent' || neighbours === idle)
                }
                if (action.do === 'power-off' && asked?.force !== true) {
                  assert.notEqual(neighbours.at, 'heard')
                  assert.ok(neighbours.at === 'silent' || asked !== null)
                }
                if (action.do === 'wait') assert.ok(action.text.length > 20)
              }
})

const word = (host: string, answer: NeighbourWord['answer'], running = 0): NeighbourWord => ({
  host,
  answer,
  lease: answer === 'heard' ? (running > 0 ? 'lasts' : 'ended') : null,
  elsewhereRunning: answer === 'heard' ? running : null,
})

test('silence counts from two neighbours, or from one where there is only one', () => {
  const [a, b] = [word('a', 'silence'), word('b', 'silence')]
  assert.deepEqual(signOf([], 0), nobody)
  assert.deepEqual(signOf([a], 1), silent)
  assert.equal(signOf([a], 2).at, 'unknown')
  assert.equal(signOf([a, word('b', 'no-report')], 3).at, 'unknown')
  assert.deepEqual(signOf([a, b, word('c', 'no-report')], 3), silent)
  assert.deepEqual(signOf([a, b, word('c', 'heard', 2)], 3), {
    at: 'heard',
    by: 'c',
    isIdle: false,
  })
  const both = [word('a', 'heard'), word('b', 'heard', 1)]
  assert.deepEqual(signOf(both, 2), { at: 'heard', by: 'b', isIdle: false })
  assert.deepEqual(signOf([word('a', 'heard')], 1), { at: 'heard', by: 'a', isIdle: true })
})

test('neighbours of other racks are asked first, and only those that can answer', () => {
  const host = (name: string, rack: string, change: object = {}) => ({
    id: name,
    name,
    zone: 'z',
    rack,
    state: 'ready' as const,
    probeAddress: '10.0.0.1:7444',
    ...change,
  })
  const target = host('h3', 'r1')
  const hosts = [
    target,
    host('h1', 'r1'),
    host('h2', 'r2'),
    host('h4', 'r2'),
    host('h5', 'r2', { state: 'unreachable' }),
    host('h6', 'r2', { probeAddress: null }),
    host('h7', 'r1'),
  ]
  assert.deepEqual(
    neighboursOf(target, hosts).map(({ name }) => name),
    ['h4', 'h2', 'h7', 'h1'],
  )
})

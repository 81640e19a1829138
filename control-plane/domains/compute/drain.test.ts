// Proves what a drain does in every state of its host and sets: what begins, what is told, and how it ends.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SetId } from '@nubo/base'
import { decideDrain, type DrainInput, type DrainSet, type DrainStep } from './drain.ts'

const set = (name: string, at: DrainStep, recovery: DrainSet['recovery'] = 'local'): DrainSet => ({
  // proof: only compared
  id: name as SetId,
  name,
  recovery,
  at,
})
const mayMove = { step: 'may-move' } as const
const pinned = { step: 'pinned' } as const
const noRoom = { step: 'no-room', text: 'no host can take it (b: memory)' } as const
const placing = { step: 'placing', refused: null } as const
const refused = { step: 'placing', refused: 'no host can take it (b: CPU)' } as const
const stopping = (sinceMs: number) =>
  ({ step: 'stopping', sinceMs, killedAfterMs: 30_000 }) as const

function decide(sets: DrainSet[], changes: Partial<DrainInput> = {}) {
  return decideDrain({
    host: { name: 'a', state: 'ready', cordoned: true },
    isMaintenance: false,
    total: sets.length,
    slots: 4,
    nowMs: 100_000,
    sets,
    ...changes,
  })
}

test('what another host has room for moves, in order, and no more at a time than there are slots', () => {
  const sets = ['w1', 'w2', 'w3'].map((name) => set(name, mayMove))
  const begun = decide([set('db', pinned), set('big', noRoom), ...sets], { slots: 2 })
  assert.deepEqual(begun, { do: 'go-on', begin: ['w1', 'w2'], progress: '0 of 5 moved' })
  const full = decide(sets, { slots: -1 })
  assert.deepEqual(full, { do: 'go-on', begin: [], progress: '0 of 3 moved' })
})

test('what is under way is waited for and told of, its seconds in steps of five', () => {
  const action = decide([set('web-2', stopping(87_900)), set('web-3', placing)], { total: 7 })
  assert.deepEqual(action, {
    do: 'go-on',
    begin: [],
    progress:
      '5 of 7 moved; web-2 stops on a (10 s; what ignores it is killed after 30 s); web-3 is being placed',
  })
  const many = Array.from({ length: 8 }, (_, n) => set(`w${n}`, placing))
  assert.match(decide(many).progress, /w4 is being placed; and 3 more$/)
})

test('it ends done when nothing is left', () => {
  const end = { do: 'end', state: 'done', reason: null }
  assert.deepEqual(decide([], { total: 3 }), { ...end, progress: '3 of 3 moved' })
  const maintained = decide([set('db', pinned)], { isMaintenance: true, total: 3 })
  assert.deepEqual(maintained, { ...end, progress: '2 of 3 moved; stay: db' })
})

test('it fails with a reason for each set that stays, once nothing is under way', () => {
  const action = decide([set('db', pinned), set('big', noRoom), set('web', refused)], { total: 4 })
  assert.deepEqual(action, {
    do: 'end',
    state: 'failed',
    reason: {
      code: 'NOT_PLACED',
      text: 'db stays: it was asked for on a (--host); big runs on: no host can take it (b: memory); web has left and waits for a place: no host can take it (b: CPU); a stays cordoned',
    },
    progress: '1 of 4 moved',
  })
  const only = decide([set('db', pinned)])
  assert.equal(only.do === 'end' && only.reason?.code, 'NOT_ALLOWED_NOW')
  // Only `local` sets stay in a maintenance: one that may run elsewhere was to go.
  const elsewhere = decide([set('db', pinned, 'elsewhere')], { isMaintenance: true })
  assert.equal(elsewhere.do === 'end' && elsewhere.state, 'failed')
})

test('reasons of very many sets are cut between sets, and counted', () => {
  const many = Array.from({ length: 200 }, (_, n) => set(`w${n}`, noRoom))
  const action = decide(many)
  const text = (action.do === 'end' && action.reason?.text) || ''
  assert.ok(text.length < 2_000)
  assert.match(text, /; and \d+ more; a stays cordoned$/)
})

test('a host that takes sets again ends it; a lost one is waited for; a fenced one ends it with what is left', () => {
  const sets = [set('w1', mayMove), set('w2', stopping(0))]
  const open = decide(sets, { host: { name: 'a', state: 'ready', cordoned: false } })
  assert.equal(open.do === 'end' && open.state, 'cancelled')
  const lost = decide(sets, { host: { name: 'a', state: 'unreachable', cordoned: true } })
  assert.equal(lost.do === 'go-on' && lost.begin.length, 0)
  assert.match(lost.progress, /a is unreachable/)
  const host = { name: 'a', state: 'fenced', cordoned: true } as const
  assert.equal(decide([set('w1', placing)], { host }).do, 'go-on')
  const fenced = decide(sets, { host })
  assert.match(
    (fenced.do === 'end' && fenced.reason?.text) || '',
    /^a was fenced meanwhile; w1 is still there and returns with a; w2 /,
  )
  assert.equal((decide([], { host }) as { state?: string }).state, 'done')
})

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SetEvent } from '../set-driver.ts'
import { until, type Stage } from './stage.ts'

/** What a driver tells by itself. */
export function eventTests(stage: Stage): void {
  void test('events tell of starts and ends, until the listener leaves', async () => {
    const seen: SetEvent[] = []
    const subscription = stage.driver.events((event) => void seen.push(event))
    await until('heard', async () => seen.some(({ type }) => type === 'resync'))
    const set = await stage.started()
    await stage.rig.endContainer(set.setId, 'main')
    const sees = async (type: SetEvent['type'], name: string | null): Promise<void> => {
      await until(`${type} of ${name}`, async () =>
        seen.some(
          (event) =>
            event.type === type &&
            event.setId === set.setId &&
            'container' in event &&
            event.container === name,
        ),
      )
    }
    await sees('started', null)
    await sees('started', 'main')
    await sees('died', 'main')
    await stage.rig.endSandbox(set.setId)
    await sees('died', null)
    subscription.close()
    subscription.close()
    const heard = seen.length
    await stage.driver.removeSet(set.setId)
    assert.equal(seen.length, heard)
  })

  void test('events go on after the engine was away, beginning with a resync', async () => {
    const set = await stage.started()
    const seen: SetEvent[] = []
    const subscription = stage.driver.events((event) => void seen.push(event))
    const count = (type: SetEvent['type']): number =>
      seen.filter((event) => event.type === type).length
    await until('heard', async () => count('resync') === 1)
    await stage.rig.killEngine()
    await until('lost', async () => count('lost') > 0)
    await stage.rig.startEngine()
    await until('heard again', async () => count('resync') === 2)
    await stage.rig.endContainer(set.setId, 'main')
    await until('told', async () => count('died') === 1)
    subscription.close()
    await stage.driver.removeSet(set.setId)
  })
}

import { after, before, describe } from 'node:test'
import { containerTests, refusalTests } from './conformance/container-tests.ts'
import { eventTests } from './conformance/event-tests.ts'
import { replacementTests, sandboxTests, survivalTests } from './conformance/sandbox-tests.ts'
import { Stage, type SetRig } from './conformance/stage.ts'
import { execTests, logTests } from './conformance/stream-tests.ts'

export type { SetRig } from './conformance/stage.ts'

/** What every set driver must do, for an engine of which `makeRig` makes one and `dispose` leaves nothing. */
export function setDriverConformance(name: string, makeRig: () => Promise<SetRig>): void {
  void describe(`set driver: ${name}`, () => {
    const stage = new Stage()
    let dispose = async (): Promise<void> => {}
    before(async () => {
      const rig = await makeRig()
      dispose = rig.dispose
      stage.open(rig)
      await rig.driver.prepare()
      await rig.driver.ensureImage(rig.image, rig.auth)
    })
    after(async () => await dispose())
    sandboxTests(stage)
    replacementTests(stage)
    survivalTests(stage)
    containerTests(stage)
    refusalTests(stage)
    execTests(stage)
    logTests(stage)
    eventTests(stage)
  })
}

import { after, before, describe } from 'node:test'
import { lifeTests, serialTests } from './conformance/life-tests.ts'
import { endTests, replacementTests, startTests } from './conformance/run-tests.ts'
import { Stage, type VmRig } from './conformance/stage.ts'

export type { VmRig } from './conformance/stage.ts'

/** What every VM driver must do, on a host that `makeRig` makes and of which `dispose` leaves nothing. */
export function vmDriverConformance(name: string, makeRig: () => Promise<VmRig>): void {
  void describe(`vm driver: ${name}`, () => {
    const stage = new Stage()
    let dispose = async (): Promise<void> => {}
    before(async () => {
      const rig = await makeRig()
      dispose = rig.dispose
      await stage.open(rig)
    })
    after(async () => {
      await stage.driver.close()
      await dispose()
    })
    startTests(stage)
    replacementTests(stage)
    endTests(stage)
    lifeTests(stage)
    serialTests(stage)
  })
}

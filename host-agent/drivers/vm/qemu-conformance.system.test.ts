// What every VM driver must do, with real QEMUs that this test starts and removes. Their guests are boot sectors.
import { vmDriverConformance } from './conformance.ts'
import { GUEST_BYTES, imageOf, QemuStage, tapOf } from './testing/qemu-stage.ts'

vmDriverConformance('qemu', async () => {
  const stage = await QemuStage.open()
  return {
    open: () => stage.driver(),
    image: imageOf('a'),
    stubbornImage: imageOf('b'),
    absentImage: imageOf('0'),
    imageBytes: GUEST_BYTES,
    auth: async () => ({ registry: '127.0.0.1:5000', token: 'token' }),
    interfaces: (number) => [tapOf(number)],
    crash: async (vmId) => await stage.crash(vmId),
    traces: async (spec) => await stage.traces(spec),
    dispose: async () => await stage.close(),
  }
})

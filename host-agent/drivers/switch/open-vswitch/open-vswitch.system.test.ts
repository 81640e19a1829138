import { switchDriverConformance, type SwitchRig } from '../conformance.ts'
import { OpenVswitchHost } from '../testing/open-vswitch-host.ts'
import { driverOf } from '../testing/open-vswitch-rig.ts'

async function makeRig(): Promise<SwitchRig> {
  const host = await OpenVswitchHost.start()
  const driver = driverOf(host)
  const drivers = [driver]
  return {
    driver,
    again: () => {
      const later = driverOf(host)
      drivers.push(later)
      return later
    },
    makeDevice: (name) => host.makeDevice(name),
    removeDevice: (name) => host.removeDevice(name),
    killSwitch: () => host.killVswitchd(),
    startSwitch: () => host.startVswitchd(),
    tunnelOfport: 65_000,
    dispose: async () => {
      await Promise.all(drivers.map((each) => each.close()))
      await host.remove()
    },
  }
}

switchDriverConformance('Open vSwitch', makeRig)

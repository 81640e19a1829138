import { systemClock, systemRandom } from '@nubo/runtime/process'

import type { OpenVswitchOptions } from '../open-vswitch/config.ts'
import { OpenVswitchSwitchDriver } from '../open-vswitch/open-vswitch-switch-driver.ts'
import type { OpenVswitchHost } from './open-vswitch-host.ts'

/** A driver for the switch of a test host. */
export function driverOf(
  host: OpenVswitchHost,
  more: Partial<OpenVswitchOptions> = {},
): OpenVswitchSwitchDriver {
  return new OpenVswitchSwitchDriver(
    {
      ovsdbSocket: host.ovsdbSocket,
      runDir: host.folder,
      datapathType: 'netdev',
      vtepAddress: host.vtepAddress,
      ...more,
    },
    { clock: systemClock, random: systemRandom },
  )
}

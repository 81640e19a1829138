import { PlatformError } from '@nubo/base'
import type { PowerControl } from './needs.ts'

/** Of a region whose machines have no management controllers: fencing goes by leases and by operators. */
export const noPowerControl: PowerControl = {
  read: () => Promise.resolve({ state: 'unknown', problem: 'this region has no power control' }),
  off: () => Promise.resolve(),
  keepPassword: (_hostId, password) =>
    password === null
      ? Promise.resolve()
      : Promise.reject(
          new PlatformError(
            'NOT_ALLOWED_NOW',
            {},
            { message: 'This region has no power control.' },
          ),
        ),
}

/**
 * What the kernel of the test guest is told, in the direct form and on the disks.
 * - `console=ttyS0`: all is said and heard on the first serial port. `quiet`: each line costs time there.
 * - `panic=-1`: a panic ends in a reboot at once, which `-no-reboot` of QEMU makes an end.
 * - `tsc=reliable mitigations=off`: a faster boot where processors are emulated; nothing in here is worth protecting.
 * - `memhp_default_state`: memory that is added counts at once, and can be taken away again.
 */
export const TEST_GUEST_COMMAND_LINE =
  'console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off memhp_default_state=online_movable'

/** Words that may stand on the command line of the direct form beside `TEST_GUEST_COMMAND_LINE`, to play a guest that is not well. */
export const testGuestSwitches = {
  /** The power button is not heard; `system_powerdown` has no effect. */
  ignorePower: 'nubo.ignore-power',
  /** The kernel panics right after the guest has said that it is ready. */
  panic: 'nubo.panic',
} as const

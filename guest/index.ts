export { buildTestGuest, type BuildTestGuestOptions, type TestGuest } from './build-test-guest.ts'
export { TEST_GUEST_COMMAND_LINE, testGuestSwitches } from './command-line.ts'
export { TEST_GUEST_READY, type TestGuestState } from './state.ts'

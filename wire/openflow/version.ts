/** Version byte of the header: OpenFlow 1.4 is 5, 1.5 is 6. Older ones are not spoken. */
export type OpenFlowVersion = 5 | 6

export const VERSION_14 = 5
export const VERSION_15 = 6

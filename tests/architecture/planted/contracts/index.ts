export const api = 1 // breaks: barrel

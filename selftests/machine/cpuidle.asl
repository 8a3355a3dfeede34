/* SPDX-License-Identifier: GPL-2.0 */
/*
 * QEMU describes no idle states, so cpuidle has no driver in its guests. One for
 * the first four CPUs: C1, by whatever the CPU has. Linux adds one that polls.
 */
DefinitionBlock ("", "SSDT", 2, "DFLUSH", "CPUIDLE", 1)
{
    External (\_SB.CPUS.C000, DeviceObj)
    External (\_SB.CPUS.C001, DeviceObj)
    External (\_SB.CPUS.C002, DeviceObj)
    External (\_SB.CPUS.C003, DeviceObj)

    Name (\_SB.CPUS.IDLE, Package ()
    {
        1,
        Package () { ResourceTemplate () { Register (FFixedHW, 0, 0, 0) }, 1, 1, 1000 }
    })

    Scope (\_SB.CPUS.C000) { Method (_CST) { Return (\_SB.CPUS.IDLE) } }
    Scope (\_SB.CPUS.C001) { Method (_CST) { Return (\_SB.CPUS.IDLE) } }
    Scope (\_SB.CPUS.C002) { Method (_CST) { Return (\_SB.CPUS.IDLE) } }
    Scope (\_SB.CPUS.C003) { Method (_CST) { Return (\_SB.CPUS.IDLE) } }
}

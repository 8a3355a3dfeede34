#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Turn the output of guest/storms.sh into a table and build/report/storms.json, and judge it.

Usage: report.py JSON ACCEL PTI=OUTPUT...
Exit:  0; 1 if a result is missing or not what it must be (each is printed).
"""

import json
import statistics
import sys

# Counters of the never-forgetting TLB, and the names of their sums here.
TLB = {
    "invlpg": ("invlpg",),
    "invpcid": ("invpcid_address", "invpcid_context", "invpcid_all", "invpcid_all_nonglobal"),
    "cr3_flush": ("cr3_flush",),
    "walks": ("walks",),
    "stale_hits": ("stale_user", "stale_vmalloc", "stale_kernel"),
}
STORMS = ("vfree", "vfree-mixed", "munmap", "mprotect", "munmap-local", "mprotect-local")
STATES = ("absent", "off", "always", "adaptive")
# Of the interrupts with the module absent, in percent.
LIMIT = 3.0
# Of the INVPCIDs with the module absent, in percent, with PTI and one thread.
INVPCID_LIMIT = 1.0


def fields(line):
    return dict(word.split("=", 1) for word in line.split() if "=" in word)


def parse(path, pti):
    """One row per run of a storm: the sum over its variants."""
    rows, run, bad, before = [], None, [], {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("## tlb "):
                before = fields(line)
            elif line.startswith("## run "):
                run = fields(line)
                row = {
                    "storm": run["storm"], "pti": pti,
                    "module": "absent" if run["state"] == "absent" else "loaded",
                    "policy": None if run["state"] == "absent" else run["state"],
                    "turn": int(run["turn"]), "cpus": 0, "flushes": 0, "ipis_user_cpus": 0,
                    "ipis_storm": 0, "ipis_control": 0, "idle_cpus": 0, "ipis_idle_cpus": 0,
                    "idle_storm": 0, "idle_control": 0, "ticks": 0, "deferred": 0,
                    "catch_ups": 0, "elapsed_ms": 0, "stale": 0, "invpcid_storm": 0,
                    "variants": 0,
                }
            elif line.startswith("# result: ") and run:
                result = fields(line)
                row["cpus"] = int(result["cpus"])
                row["idle_cpus"] = int(result["idle"])
                row["variants"] += 1
                # Without those of the programs around it.
                row["invpcid_storm"] += int(result["invpcid"])
                for key in ("flushes", "ipis_storm", "ipis_control", "idle_storm", "idle_control",
                            "ticks", "elapsed_ms", "stale"):
                    row[key] += int(result[key])
            elif line.startswith("## end ") and run:
                end = fields(line)
                row["deferred"] = int(end["deferred"])
                row["catch_ups"] = int(end["catch_ups"])
                # Over all variants: noise of one must not be cut off at 0 for itself.
                row["ipis_user_cpus"] = max(0, row["ipis_storm"] - row["ipis_control"])
                row["ipis_idle_cpus"] = max(0, row["idle_storm"] - row["idle_control"])
                for key, names in TLB.items():
                    # No such counters on other machines.
                    row[key] = (sum(int(end[n]) - int(before[n]) for n in names)
                                if before else None)
                if end["rc"] != "0":
                    bad.append(f"{run['storm']}, PTI {pti}, {run['state']}: exit {end['rc']}")
                rows.append(row)
                run = None
    if run:
        bad.append(f"{run['storm']}, PTI {pti}, {run['state']}: did not end")
    return rows, bad


def state_of(row):
    return row["policy"] or "absent"


def median(rows, key):
    return statistics.median(row[key] for row in rows)


def spread(rows, key):
    values = [row[key] for row in rows]
    return f"{statistics.median(values):g} ({min(values):g}-{max(values):g})"


def select(rows, storm, pti, state):
    return [r for r in rows if (r["storm"], r["pti"], state_of(r)) == (storm, pti, state)]


def table(rows, ptis):
    head = ("storm", "PTI", "policy", "flushes", "IPIs to user CPUs", "to idle CPUs", "deferred",
            "catch-ups", "ms", "stale")
    sticky = any(r["invlpg"] is not None for r in rows)
    if sticky:
        head += ("INVLPG", "INVPCID", "CR3 flushes", "stale hits")
    lines = [head]
    for storm in STORMS:
        for pti in ptis:
            for state in STATES:
                some = select(rows, storm, pti, state)
                if some:
                    lines.append((storm, pti, state if state != "absent" else "(no module)",
                                  spread(some, "flushes"), spread(some, "ipis_user_cpus"),
                                  spread(some, "ipis_idle_cpus") if some[0]["idle_cpus"] else "-",
                                  f"{median(some, 'deferred'):g}", f"{median(some, 'catch_ups'):g}",
                                  f"{median(some, 'elapsed_ms'):g}",
                                  str(sum(r["stale"] for r in some))))
                    if sticky:
                        lines[-1] += tuple(f"{median(some, key):g}" for key in
                                           ("invlpg", "invpcid", "cr3_flush"))
                        lines[-1] += (str(sum(r["stale_hits"] for r in some)),)
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    rule = "  ".join("-" * width for width in widths)
    for number, line in enumerate(lines):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
        if number == 0:
            print(rule)


def per_flush(rows, key="ipis_user_cpus"):
    flushes = sum(r["flushes"] for r in rows)
    return sum(r[key] for r in rows) / flushes if flushes else 0.0


def judge_user(rows, pti):
    """The local storms on the machine that counts INVPCIDs: the module needs none."""
    bad = []
    for storm in STORMS:
        absent, always = (select(rows, storm, pti, state) for state in ("absent", "always"))
        if not storm.endswith("-local") or not absent or not always:
            continue
        before, after = (per_flush(rows, "invpcid_storm") for rows in (absent, always))
        percent = 100 * after / before if before else 100.0
        print(f"{storm}, PTI {pti}: {before:.3f} INVPCIDs per flush without the module, "
              f"{after:.4f} with always: {percent:.2f}% (limit {INVPCID_LIMIT:g}%).")
        if percent > INVPCID_LIMIT:
            bad.append(f"{storm}, PTI {pti}: {percent:.2f}% of the INVPCIDs are left")
    return bad


def judge_vfree(rows, storm, pti):
    """What is left of mainline's interrupts; mainline's with policy off and without the module."""
    bad = []
    some = {state: select(rows, storm, pti, state) for state in STATES}
    if not all(some.values()):
        return bad
    absent = some["absent"]
    idle = absent[0]["idle_cpus"]
    kinds = [("user", "ipis_user_cpus", absent[0]["cpus"] - 1 - idle)]
    if idle:
        kinds.append(("idle", "ipis_idle_cpus", idle))
    for kind, key, cpus in kinds:
        for state in ("absent", "off"):
            count = per_flush(some[state], key)
            print(f"{storm}, PTI {pti}, {state}: {count:.2f} IPIs per flush to {cpus} {kind} CPUs.")
            # Mainline: every flush interrupts every other CPU.
            if count < 0.9 * cpus:
                bad.append(f"{storm}, PTI {pti}, {state}: only {count:.2f} IPIs per flush to "
                           f"{cpus} {kind} CPUs")
        for state in ("always", "adaptive"):
            base, count = per_flush(absent, key), per_flush(some[state], key)
            # The number of flushes is the same in all states.
            percent = 100 * count / base if base else 100.0
            print(f"{storm}, PTI {pti}, {state}: {count:.4f} IPIs per flush to {kind} CPUs: "
                  f"{percent:.2f}% (limit {LIMIT:g}%).")
            if percent > LIMIT:
                bad.append(f"{storm}, PTI {pti}, {state}: {percent:.2f}% of the IPIs to {kind} "
                           "CPUs are left")
            if kind == "user":
                ticks, left = (sum(r[k] for r in some[state]) for k in ("ticks", key))
                print(f"    The {left} left are {100 * left / ticks if ticks else 0:.1f}% of the "
                      f"{ticks} timer ticks these CPUs took: flushes that found one in its tick.")
    for state in ("always", "adaptive"):
        for key in ("deferred", "catch_ups"):
            if not median(some[state], key):
                bad.append(f"{storm}, PTI {pti}, {state}: no {key}")
    if any(r["deferred"] for r in absent + some["off"]):
        bad.append(f"{storm}, PTI {pti}: something was deferred without a policy")
    return bad


def judge(rows, ptis):
    bad = []
    for storm in STORMS:
        for pti in ptis:
            for state in STATES:
                some = select(rows, storm, pti, state)
                if not some:
                    bad.append(f"{storm}, PTI {pti}, {state}: no result")
                elif any(r["stale"] for r in some):
                    bad.append(f"{storm}, PTI {pti}, {state}: stale reads")
                elif any(r["stale_hits"] for r in some):
                    bad.append(f"{storm}, PTI {pti}, {state}: stale hits")
    for storm in ("vfree", "vfree-mixed"):
        for pti in ptis:
            bad += judge_vfree(rows, storm, pti)
    return bad


def main(argv):
    if len(argv) < 4:
        print(__doc__, file=sys.stderr)
        return 2
    rows, bad, ptis = [], [], []
    for arg in argv[3:]:
        pti, path = arg.split("=", 1)
        ptis.append(pti)
        more, problems = parse(path, pti)
        rows += more
        bad += problems
    for row in rows:
        row["accel"] = argv[2]
    with open(argv[1], "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")
    table(rows, ptis)
    print()
    bad += judge(rows, ptis)
    if rows and rows[0]["invpcid"] is not None and "on" in ptis:
        bad += judge_user(rows, "on")
    for problem in bad:
        print(f"FAIL: {problem}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))

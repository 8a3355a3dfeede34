# SPDX-License-Identifier: GPL-2.0
# Judge the output of guest/storms.sh and print its table: interrupts per flush, by storm and state.
# "ok|not ok|skip NAME" go to the file VERDICTS=. What is judged is report.py's: each run ends well and
# reads nothing stale, and with the module at most 3% of mainline's interrupts are left; the latter only
# if "strict". Any awk will do.
# Usage: VERDICTS=FILE awk -v prefix=NAME -v strict=0|1 -f storms.awk OUTPUT

function emit(kind, name) {
	print kind " " name >verdicts
}

# Sets field[] from "name=value" words.
function fields(i, pair) {
	split("", field)
	for (i = 1; i <= NF; i++)
		if (split($i, pair, "=") == 2)
			field[pair[1]] = pair[2]
}

function per_flush(interrupts, key) {
	return flushes[key] > 0 ? (interrupts > 0 ? interrupts : 0) / flushes[key] : 0
}

# judge(STORM, KIND, STORM_SUM[], CONTROL_SUM[]) of the interrupts that user or idle CPUs got.
function judge(storm, kind, sum, control, i, key, before, after, name) {
	before = per_flush(sum[storm, "absent"] - control[storm, "absent"], storm SUBSEP "absent")
	for (i = 3; i <= 4; i++) {
		key = storm SUBSEP states[i]
		after = per_flush(sum[key] - control[key], key)
		name = sprintf("%s/%s/%s: %.4f interrupts per flush to %s CPUs, without the module %.2f",
			prefix, storm, states[i], after, kind, before)
		if (!strict)
			emit("skip", name ": more guest CPUs than cores, not judged")
		else
			emit(before > 0 && after <= 0.03 * before ? "ok" : "not ok", name)
	}
}

BEGIN {
	split("absent off always adaptive", states)
	split("vfree vfree-mixed munmap mprotect munmap-local mprotect-local", storms)
	# Of the environment, which nobody takes escapes out of.
	verdicts = ENVIRON["VERDICTS"]
	printf "" >verdicts
}

{ sub(/\r$/, "") }

/^## run / {
	fields()
	run = field["storm"] "/" field["state"] "/turn-" field["turn"]
	key = field["storm"] SUBSEP field["state"]
	results = bad = 0
}
/^# result: / && run != "" {
	fields()
	results++
	flushes[key] += field["flushes"]
	user[key] += field["ipis_storm"]
	user_control[key] += field["ipis_control"]
	idle[key] += field["idle_storm"]
	idle_control[key] += field["idle_control"]
	elapsed[key] += field["elapsed_ms"]
	stale[key] += field["stale"]
	bad += field["stale"]
}
/^## end / && run != "" {
	fields()
	deferred[key] += field["deferred"]
	if (field["rc"] != 0)
		emit("not ok", prefix "/" run ": exit " field["rc"])
	else if (!results)
		emit("not ok", prefix "/" run ": no result")
	else
		emit(bad ? "not ok" : "ok", prefix "/" run ": " bad + 0 " stale")
	run = ""
	runs++
}

END {
	if (run != "")
		emit("not ok", prefix "/" run ": did not end")
	if (!runs) {
		emit("not ok", prefix ": no storm ran")
		exit
	}
	printf "    %-15s %-9s %9s %15s %15s %9s %7s %6s\n", "storm", "module", "flushes",
		"user IPIs/flush", "idle IPIs/flush", "deferred", "ms", "stale"
	for (i = 1; i <= 6; i++) {
		complete = 1
		for (j = 1; j <= 4; j++) {
			key = storms[i] SUBSEP states[j]
			if (!(key in flushes)) {
				emit("not ok", prefix "/" storms[i] "/" states[j] ": did not run")
				complete = 0
				continue
			}
			printf "    %-15s %-9s %9d %15.4f %15.4f %9d %7d %6d\n", storms[i], states[j],
				flushes[key], per_flush(user[key] - user_control[key], key),
				per_flush(idle[key] - idle_control[key], key), deferred[key], elapsed[key],
				stale[key]
		}
		if (complete && storms[i] ~ /^vfree/) {
			# With two CPUs, the only other one is idle in the mixed storm.
			if (user[storms[i], "absent"] > 0)
				judge(storms[i], "user", user, user_control)
			if (storms[i] == "vfree-mixed")
				judge(storms[i], "idle", idle, idle_control)
		}
	}
}

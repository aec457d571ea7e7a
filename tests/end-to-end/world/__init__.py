"""The part of AWS that no emulator plays: hosts that boot, tasks that start and stop in their own time, ECS's scheduler,
Auto Scaling's replacements, spot reclaims, and the events that all of these announce.

It runs in moto's process, over moto's own state: functions see it through ECS's, EC2's and Auto Scaling's wire protocols
only. Times are short, but none is zero: what AWS does later happens later here too.
"""

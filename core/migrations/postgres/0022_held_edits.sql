-- In a migration of its own, as 0020. What the receiver goes on to see of a message that its sender edited while blocked: a JSON object.
alter table messages add column receiver_sees text;

-- Messages by the one that they follow: where that is removed they follow what it followed.
create index messages_following on messages (partition, thread, parent) where parent is not null;

-- Threads that are held, whoever held them: those with dead letters, and those that an operator stopped.
create index threads_held on threads (id) where held;

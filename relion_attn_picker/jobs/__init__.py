"""What the commands do, from files to files: each job brings the layers below together; none of them knows a job."""
